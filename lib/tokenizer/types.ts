/** How a text becomes ids. */
export interface EncodeOptions {
  /**
   * Adds what the model expects around a text: the beginning-of-sequence id in front, if the model says so (and the
   * end-of-sequence id behind, for the few that say that). An id that the text already brings through `parseSpecial` is
   * not added twice. Default true.
   */
  addSpecial?: boolean;
  /**
   * Reads the text of control tokens ("<|eot_id|>") as those tokens. Default false: whatever a user types stays text.
   * True is for templates.
   */
  parseSpecial?: boolean;
  /**
   * A character that `guardSpecial` put into texts that must stay text inside a template; it is taken out again after
   * control tokens were recognised.
   */
  guard?: string;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leaves control tokens out of the text. Default true. */
  skipSpecial?: boolean;
  /**
   * The ids continue a text that came before. SentencePiece vocabularies put a space in front of every text, which
   * decoding takes away again; a continuation keeps it, because there it separates words. Default false.
   */
  continuation?: boolean;
}

/**
 * Turns ids into text as they arrive. The concatenation of all chunks and of `flush` is what `decode` gives for all ids,
 * and no chunk splits a character.
 */
export interface Detokenizer {
  /** The text that is complete now; empty while a character still lacks bytes. */
  push(id: number): string;
  /** The rest: U+FFFD for a character that was never completed, else empty. Starts anew afterwards. */
  flush(): string;
}

/** A vocabulary: text to ids and back. */
export interface Tokenizer {
  /** Number of ids; ids are 0 .. vocabularySize - 1. */
  readonly vocabularySize: number;
  /** The token that begins a text; absent: there is none. */
  readonly bosId?: number;
  /** Ids that end a text: end of sequence, end of turn, end of message. */
  readonly eosIds: readonly number[];
  /** Whether `encode` puts `bosId` in front by default. */
  readonly addBos: boolean;
  /** Runs on a thread of its own. Lone surrogates become U+FFFD. */
  encode(text: string, options?: EncodeOptions): Promise<Int32Array>;
  /**
   * How many tokens `encode` gives at least, without encoding: in time linear in the text. 0 or little where the vocabulary
   * lets nothing be said.
   */
  fewestTokens(text: string, options?: EncodeOptions): number;
  /** Ill-formed UTF-8 becomes U+FFFD, as with `TextDecoder`. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** Turns ids into text as they come. */
  createDetokenizer(options?: DecodeOptions): Detokenizer;
  /** The bytes that a token adds to a text; do not write to them. */
  tokenBytes(id: number): Uint8Array;
  /** Whether a token is a control token, which is never part of a text's content. */
  isSpecial(id: number): boolean;
  /** The id of the token that reads `text`, control tokens first; undefined if there is none. */
  idOf(text: string): number | undefined;
  /**
   * Puts the character `guard` into every place of `text` that reads like a control token, so that
   * `encode(..., { parseSpecial: true, guard })` takes it for text. `guard` must not occur in `text`.
   */
  guardSpecial(text: string, guard: string): string;
  /** Stops the thread. Decoding still works; encoding rejects with `ClosedError`. Idempotent. */
  close(): void;
}
