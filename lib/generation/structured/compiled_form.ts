import type { Engine } from "../../engine";
import { InvalidOptionError } from "../../errors";
import type { TokenMask } from "../../sampling";
import type { Tokenizer } from "../../tokenizer";
import { Automaton, type State } from "./automaton";
import { withLimitedEffort } from "./effort";
import type { Form } from "./form";
import { PlainSteps } from "./plain_text";
import { Vocabulary } from "./vocabulary";

/** Bytes of masks that a form keeps. */
const MOST_MASK_BYTES = 16 * 2 ** 20;
/** What the opened parts of an automaton take, roughly. */
const BYTES_OF_PART = 128;

/** A form for a vocabulary: an automaton with the masks of the states that were met. */
export class CompiledForm {
  readonly automaton: Automaton;
  private readonly plain: PlainSteps;
  private readonly masks = new Map<State, TokenMask>();

  /**
   * @param ends tokens that end the text
   * @throws InvalidOptionError for a form that cannot be compiled
   */
  constructor(
    readonly form: Form,
    readonly tokenizer: Tokenizer,
    private readonly vocabulary: Vocabulary,
    private readonly ends: ReadonlySet<number>,
  ) {
    this.automaton = withLimitedEffort(() => new Automaton(form.compile()));
    this.plain = new PlainSteps(this.automaton);
  }

  /** Memory that it takes, roughly. */
  get byteLength(): number {
    return this.masks.size * this.vocabulary.words * 4 + this.automaton.size * BYTES_OF_PART;
  }

  /** The tokens that may come in a state. @throws InvalidOptionError when the vocabulary has none that goes on */
  maskOf(state: State): TokenMask {
    const { masks, automaton, plain, vocabulary } = this;
    let mask = masks.get(state);
    if (!mask) {
      mask = vocabulary.maskOf(automaton, plain, state, this.ends);
      if (mask.count === 0) {
        throw new InvalidOptionError("The vocabulary has no token that goes on in the form that was asked for.");
      }
      if (masks.size * vocabulary.words * 4 >= MOST_MASK_BYTES) masks.clear();
      masks.set(state, mask);
    }
    return mask;
  }
}

/** Forms that are kept compiled for each model, and bytes of all of them; those in use may be more. */
const MOST_FORMS = 32;
const MOST_BYTES = 128 * 2 ** 20;

/** What was compiled for a tokenizer. */
class FormCache {
  /** By the control tokens that count as text. */
  private readonly vocabularies = new Map<string, Promise<Vocabulary>>();
  /** The one that was used last comes last. */
  private readonly forms = new Map<string, CompiledForm>();

  async get({ tokenizer, info }: Engine, form: Form, ends: ReadonlySet<number>): Promise<CompiledForm> {
    // A mask has the tokens that may end the text, too.
    const controls = [...(form.controls ?? [])].flat();
    const key = JSON.stringify([form.key, controls, [...ends].sort((a, b) => a - b)]);
    const vocabulary = await this.vocabularyOf(tokenizer, info.vocabularySize, form);
    const compiled = this.forms.get(key) ?? new CompiledForm(form, tokenizer, vocabulary, ends);
    this.forms.delete(key);
    this.forms.set(key, compiled);
    this.forgetOldest();
    return compiled;
  }

  private vocabularyOf(tokenizer: Tokenizer, vocabularySize: number, form: Form): Promise<Vocabulary> {
    const { vocabularies } = this;
    const key = JSON.stringify([...(form.controls ?? [])]);
    let vocabulary = vocabularies.get(key);
    if (!vocabulary) vocabularies.set(key, (vocabulary = Vocabulary.read(tokenizer, vocabularySize, form.controls)));
    return vocabulary;
  }

  private forgetOldest(): void {
    let bytes = 0;
    for (const { byteLength } of this.forms.values()) bytes += byteLength;
    for (const [key, { byteLength }] of this.forms) {
      if (this.forms.size === 1 || (this.forms.size <= MOST_FORMS && bytes <= MOST_BYTES)) return;
      this.forms.delete(key);
      bytes -= byteLength;
    }
  }
}

const caches = new WeakMap<Tokenizer, FormCache>();

/**
 * Compiles a form, or finds it compiled. The first one for a vocabulary waits for its tree, which is made between other work.
 * @param ends tokens that end the text
 * @throws InvalidOptionError for a form that cannot be compiled
 */
export function compileForm(engine: Engine, form: Form, ends: ReadonlySet<number>): Promise<CompiledForm> {
  let cache = caches.get(engine.tokenizer);
  if (!cache) caches.set(engine.tokenizer, (cache = new FormCache()));
  return cache.get(engine, form, ends);
}
