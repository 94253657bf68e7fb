/**
 * The vocabulary a GGUF file carries under `tokenizer.*`, as plain data. The tokenizer is built from this by
 * lib/tokenizer; nothing here knows how text is split.
 */
import type { StringList } from "./string_table";

/** Values of `tokenizer.ggml.token_type`. */
export const TokenType = {
  Normal: 1,
  Unknown: 2,
  Control: 3,
  UserDefined: 4,
  Unused: 5,
  Byte: 6,
} as const;

/** The vocabulary of a GGUF file. Ids are indices into `tokens`. */
export interface GgufVocabulary {
  /** `tokenizer.ggml.model`: "gpt2" is byte-level BPE with merges, "llama" is SentencePiece with scores. */
  model: string;
  /** `tokenizer.ggml.pre`: how text is split before BPE, for example "llama-bpe". Always present when model is "gpt2". */
  pre?: string;
  /** Text of each token, as stored: byte-level characters for "gpt2", U+2581 for a space in "llama". */
  tokens: StringList;
  /** `TokenType` values, one a token; all `Normal` when the file has none. */
  tokenTypes: Int32Array;
  /** BPE merges by falling priority, each "left right"; in a SentencePiece vocabulary in place of those of the scores. */
  merges?: StringList;
  /** SentencePiece scores, one a token. */
  scores?: Float32Array;
  bosId?: number;
  eosId?: number;
  padId?: number;
  unknownId?: number;
  /** Every id that ends a text: `eosId`, end of turn and end of message ids, without repetition. */
  eosIds: number[];
  /** Whether `bosId` goes in front of every text. */
  addBos: boolean;
  /** Whether `eosId` goes behind every text; absent: no. */
  addEos?: boolean;
  /** SentencePiece: whether a space goes in front of the text; absent: yes, as SentencePiece does. */
  addSpacePrefix?: boolean;
  /** Jinja source of the chat template. */
  chatTemplate?: string;
}
