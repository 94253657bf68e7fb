import type { Engine } from "../../engine";
import { InvalidOptionError } from "../../errors";
import type { TokenMask } from "../../sampling";
import type { Tokenizer } from "../../tokenizer";
import { Automaton, type State } from "./automaton";
import type { Form } from "./form";
import { PlainSteps } from "./plain_text";
import { Vocabulary } from "./vocabulary";

/** An automaton with the masks of the states that were met. */
interface CompiledForm {
  readonly automaton: Automaton;
  readonly plain: PlainSteps;
  readonly vocabulary: Vocabulary;
  readonly masks: Map<State, TokenMask>;
}

/** Forms that are kept compiled for each model, and bytes of masks for each form. */
const MOST_FORMS = 32;
const MOST_MASK_BYTES = 16 * 2 ** 20;

interface Compiled {
  /** By the control tokens that count as text. */
  vocabularies: Map<string, Vocabulary>;
  forms: Map<string, CompiledForm>;
}

const compiled = new WeakMap<Tokenizer, Compiled>();

/** Keeps a text in its form: which tokens may come, one after the other. */
export class Constraint {
  private state: State;

  private constructor(
    private readonly compiledForm: CompiledForm,
    private readonly form: Form,
    private readonly tokenizer: Tokenizer,
    private readonly ends: ReadonlySet<number>,
  ) {
    this.state = compiledForm.automaton.start;
  }

  /**
   * @param ends tokens that end the text
   * @throws InvalidOptionError for a form that cannot be compiled
   */
  static make({ tokenizer, info }: Engine, form: Form, ends: ReadonlySet<number>): Constraint {
    let known = compiled.get(tokenizer);
    if (!known) compiled.set(tokenizer, (known = { vocabularies: new Map(), forms: new Map() }));
    // A mask has the tokens that may end the text, too.
    const controls = [...(form.controls ?? [])].flat();
    const key = JSON.stringify([form.key, controls, [...ends].sort((a, b) => a - b)]);
    let compiledForm = known.forms.get(key);
    if (!compiledForm) {
      const automaton = new Automaton(form.compile());
      const vocabulary = vocabularyOf(known, tokenizer, info.vocabularySize, form);
      compiledForm = { automaton, plain: new PlainSteps(automaton), vocabulary, masks: new Map() };
      known.forms.set(key, compiledForm);
      const [oldest] = known.forms.keys();
      if (known.forms.size > MOST_FORMS && oldest !== undefined) known.forms.delete(oldest);
    }
    return new Constraint(compiledForm, form, tokenizer, ends);
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
    const { masks, automaton, plain, vocabulary } = this.compiledForm;
    let mask = masks.get(this.state);
    if (!mask) {
      mask = vocabulary.maskOf(automaton, plain, this.state, this.ends);
      if (mask.count === 0) {
        throw new InvalidOptionError("The vocabulary has no token that goes on in the form that was asked for.");
      }
      if (masks.size * vocabulary.words * 4 >= MOST_MASK_BYTES) masks.clear();
      masks.set(this.state, mask);
    }
    return mask;
  }

  /** Notes a token that was appended; it must be one that the mask allows. */
  accept(token: number): void {
    const control = this.form.controls?.get(token);
    const bytes = control === undefined ? this.tokenizer.tokenBytes(token) : Buffer.from(control);
    this.state = this.compiledForm.automaton.run(this.state, bytes) ?? this.state;
  }

  /** Notes text that came before the constraint did; false, and nothing changed, where the form does not allow it. */
  catchUp(text: Uint8Array): boolean {
    const state = this.compiledForm.automaton.run(this.state, text);
    if (state) this.state = state;
    return state !== undefined;
  }
}

function vocabularyOf(
  { vocabularies }: Compiled,
  tokenizer: Tokenizer,
  vocabularySize: number,
  form: Form,
): Vocabulary {
  const key = JSON.stringify([...(form.controls ?? [])]);
  let vocabulary = vocabularies.get(key);
  if (!vocabulary) vocabularies.set(key, (vocabulary = new Vocabulary(tokenizer, vocabularySize, form.controls)));
  return vocabulary;
}
