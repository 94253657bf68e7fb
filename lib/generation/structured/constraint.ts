import type { Engine } from "../../engine";
import { InvalidOptionError } from "../../errors";
import type { TokenMask } from "../../sampling";
import type { Tokenizer } from "../../tokenizer";
import { Automaton, type State } from "./automaton";
import { anyJsonObject, compileJsonSchema } from "./json_schema";
import type { TextFormat } from "./format";
import { compileRegex } from "./regex";
import { VocabularyTree } from "./vocabulary";

/** An automaton with the masks of the states that were met. */
interface CompiledForm {
  readonly automaton: Automaton;
  readonly masks: Map<State, TokenMask>;
}

/** Forms that are kept compiled for each model, and masks for each form. */
const MOST_FORMS = 32;
const MOST_MASKS = 2048;

interface Compiled {
  tree: VocabularyTree;
  forms: Map<string, CompiledForm>;
}

const compiled = new WeakMap<Tokenizer, Compiled>();

/** Keeps a text in its form: which tokens may come, one after the other. */
export class Constraint {
  private state: State;

  private constructor(
    private readonly tree: VocabularyTree,
    private readonly form: CompiledForm,
    private readonly tokenizer: Tokenizer,
    private readonly ends: ReadonlySet<number>,
  ) {
    this.state = form.automaton.start;
  }

  /**
   * @param ends tokens that end the text
   * @throws InvalidOptionError for a form that cannot be compiled
   */
  static make({ tokenizer, info }: Engine, form: TextFormat, ends: ReadonlySet<number>): Constraint {
    let known = compiled.get(tokenizer);
    if (!known) {
      known = { tree: new VocabularyTree(tokenizer, info.vocabularySize), forms: new Map() };
      compiled.set(tokenizer, known);
    }
    const key = JSON.stringify(form);
    let compiledForm = known.forms.get(key);
    if (!compiledForm) {
      compiledForm = { automaton: new Automaton(expressionOf(form)), masks: new Map() };
      known.forms.set(key, compiledForm);
      const [oldest] = known.forms.keys();
      if (known.forms.size > MOST_FORMS && oldest !== undefined) known.forms.delete(oldest);
    }
    return new Constraint(known.tree, compiledForm, tokenizer, ends);
  }

  /** Whether nothing more may come. */
  get complete(): boolean {
    return this.state.final;
  }

  /** Whether the text may end here. */
  get mayEnd(): boolean {
    return this.state.accepting;
  }

  /** @throws InvalidOptionError when the vocabulary has no token that goes on */
  mask(): TokenMask {
    const { masks, automaton } = this.form;
    let mask = masks.get(this.state);
    if (!mask) {
      mask = this.tree.maskOf(automaton, this.state, this.ends);
      if (mask.count === 0) {
        throw new InvalidOptionError("The vocabulary has no token that goes on in the form that was asked for.");
      }
      if (masks.size >= MOST_MASKS) masks.clear();
      masks.set(this.state, mask);
    }
    return mask;
  }

  /** Notes a token that was appended; it must be one that the mask allows. */
  accept(token: number): void {
    this.state = this.form.automaton.run(this.state, this.tokenizer.tokenBytes(token)) ?? this.state;
  }
}

function expressionOf(form: TextFormat): ReturnType<typeof compileRegex> {
  if (form.type === "json_schema") return compileJsonSchema(form.schema);
  return form.type === "json_object" ? anyJsonObject : compileRegex(form.pattern);
}
