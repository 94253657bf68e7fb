/**
 * Why a text ended.
 * - "stop": the model ended it (an end-of-text token), or one of `stopTokens` came
 * - "stop_string": one of the strings in `stop` came
 * - "length": `maxTokens` were generated
 * - "context": prompt and answer fill the model's context
 */
export type FinishReason = "stop" | "stop_string" | "length" | "context";

/** Tokens counted. */
export interface Usage {
  promptTokens: number;
  /** Every token that was sampled, the one that ended the text included. */
  completionTokens: number;
  totalTokens: number;
  /** Prompt tokens that were in the KV cache already and were not computed again. */
  cachedTokens: number;
}

/** How long it took. */
export interface Timings {
  /** Prompt tokens that were computed, per second; 0 if there were none. */
  promptTokensPerSecond: number;
  /** Tokens per second after the first one; 0 if there was only one. Other texts of the same batch slow it down. */
  decodeTokensPerSecond: number;
  /** From the call to the first token: reading the prompt, waiting for a turn, computing. */
  timeToFirstTokenMs: number;
  totalMs: number;
}

/** A piece of a text. Chunks never split a character; the last one says how the text ended. */
export interface Chunk {
  /** May be empty in the last chunk only. */
  text: string;
  /** The tokens generated since the last chunk. A token that ends the text is not among them. */
  tokens: number[];
  /** In the last chunk only. */
  finishReason?: FinishReason;
  /** In the last chunk only. */
  usage?: Usage;
  /** In the last chunk only. */
  timings?: Timings;
}

/** A whole generated text. */
export interface GenerationResult {
  /** Without the stop string. */
  text: string;
  /** Without the token that ended the text; with those of a stop string. */
  tokens: number[];
  usage: Usage;
  finishReason: FinishReason;
  timings: Timings;
}
