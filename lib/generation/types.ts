/**
 * Why a text ended.
 * - "stop": the model ended it (an end-of-text token), or one of `stopTokens` came
 * - "stop_string": one of the strings in `stop` came
 * - "length": `maxTokens` were generated
 * - "context": prompt and answer fill the model's context
 * - "tool_calls": the model called functions and waits for their results
 */
export type FinishReason = "stop" | "stop_string" | "length" | "context" | "tool_calls";

/** A call of a function. */
export interface ToolCall {
  /** Names the call, so that its result can be told from others'. */
  id: string;
  /** The function. */
  name: string;
  /** Its arguments as JSON text. */
  arguments: string;
}

/** A piece of a function call. `id` and `name` come with the first piece of each index. */
export interface ToolCallDelta {
  /** Which call of the answer, from 0 on. */
  index: number;
  /** Names the call; with its first piece. */
  id?: string;
  /** The function; with its first piece. */
  name?: string;
  /** A piece of the JSON text. */
  arguments: string;
}

/** What a function that was called gave. */
export interface ToolResult {
  /** The call. */
  id: string;
  /** The function. */
  name: string;
  /** What the model is told. */
  content: string;
}

/** Tokens counted. */
export interface Usage {
  /** Those of the prompt. */
  promptTokens: number;
  /** Every token that was sampled, the one that ended the text included. */
  completionTokens: number;
  /** Prompt and answer. */
  totalTokens: number;
  /** Prompt tokens that were in the KV cache already and were not computed again. */
  cachedTokens: number;
  /** Tokens of prompt and answer that were forgotten to make room (`overflow: "slide"`); absent: none. */
  droppedTokens?: number;
}

/** The natural logarithm of a token's probability under the model, before any sampler. */
export interface TokenScore {
  /** Id of the token. */
  token: number;
  /** Natural logarithm of its probability under the model. */
  logprob: number;
}

/** A token's log-probability before and after sampling. */
export interface SampledScore extends TokenScore {
  /**
   * The natural logarithm of its probability after all samplers, in what was drawn from: 0 for the greedy choice,
   * -Infinity (in JSON null) where a sampler, a bias or the text's form left the token out.
   */
  sampledLogprob: number;
}

/** A generated token with the likeliest alternatives. */
export interface TokenLogprobs extends SampledScore {
  /** Likeliest first under the model, before any sampler; as many as were asked for. */
  top: readonly SampledScore[];
  /** Likeliest first after all samplers; as many as were asked for, if so many were left. */
  sampledTop: readonly SampledScore[];
}

/** How long it took. */
export interface Timings {
  /** Prompt tokens that were computed, per second; 0 if there were none. */
  promptTokensPerSecond: number;
  /** Tokens per second after the first one; 0 if there was only one. Other texts of the same batch slow it down. */
  decodeTokensPerSecond: number;
  /** From the call to the first token: reading the prompt, waiting for a turn, computing. */
  timeToFirstTokenMs: number;
  /** From the call to the end. */
  totalMs: number;
  /** Tokens that were guessed ahead (`speculation`). */
  draftTokens: number;
  /** Guesses that were right. */
  acceptedDrafts: number;
}

/** A piece of a text. Chunks never split a character; the last one says how the text ended. */
export interface Chunk {
  /** Empty in the last chunk, and where function calls come. */
  text: string;
  /** The tokens generated since the last chunk. A token that ends the text is not among them. */
  tokens: number[];
  /** One for each of `tokens`, where they were asked for. */
  logprobs?: readonly TokenLogprobs[];
  /** Pieces of function calls, where functions were offered; their tokens are among `tokens`. */
  toolCalls?: readonly ToolCallDelta[];
  /** What functions gave that a chat session called itself; the answer goes on behind. */
  toolResults?: readonly ToolResult[];
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
  /** One for each of `tokens`, where they were asked for. */
  logprobs?: readonly TokenLogprobs[];
  /** The calls that are complete, where functions were offered and called. */
  toolCalls?: readonly ToolCall[];
  /** Tokens counted. */
  usage: Usage;
  /** Why it ended. */
  finishReason: FinishReason;
  /** How long it took. */
  timings: Timings;
}
