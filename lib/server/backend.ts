import { chooseTemplate, endsOfTurn, ToolPlan, type ChatTemplate, type Message } from "../chat";
import type { ToolChoice, ToolDefinition } from "../chat";
import { resolveGenerationOptions, streamOnce, streamText } from "../generation";
import type { Chunk, GenerationOptions, Prompt } from "../generation";
import { engineOf, type Model } from "../model";
import type { Tokenizer } from "../tokenizer";

export type { ToolChoice, ToolDefinition } from "../chat";
export type { ToolCall, ToolCallDelta } from "../generation";

/** What not every backend can do; requests for the others are refused, naming the field. */
export type Feature = "logprobs" | "structured" | "tools" | "embeddings";

/** One turn of a conversation as clients send it. */
export type ChatMessage = Message;

/** The form of a text: any JSON object, or one that is valid for a schema. */
export type TextFormat = { type: "json_object" } | { type: "json_schema"; schema: Readonly<Record<string, unknown>> };

/** How a backend generates; what it has no feature for is never given to it. */
export interface BackendOptions extends GenerationOptions {
  /** An answer in a chat, or a plain text; for messages and traces. Default "chat". */
  kind?: "chat" | "completion";
  /** Alternatives to report for every token, 0 to 20; absent: no log-probabilities. */
  logprobs?: number;
  format?: TextFormat;
  /** Functions that may be called. */
  tools?: readonly ToolDefinition[];
  /** Which of them shall be called. */
  toolChoice?: ToolChoice;
  /** Whether an answer may have several calls. */
  parallelToolCalls?: boolean;
}

/** The natural logarithm of a token's probability, before sampling. */
export interface TokenScore {
  /** Id of the token. */
  token: number;
  /** Natural logarithm of its probability. */
  logprob: number;
}

/** A generated token with the likeliest alternatives, likeliest first. */
export interface TokenLogprobs extends TokenScore {
  /** The alternatives. */
  top: readonly TokenScore[];
}

/** A piece of an answer. */
export interface BackendChunk extends Omit<Chunk, "logprobs"> {
  /** One for each of `tokens`, where they were asked for. */
  logprobs?: readonly TokenLogprobs[];
}

/** A conversation as the model reads it, and what ends its turn. */
export interface EncodedChat {
  /** The prompt. */
  tokens: ArrayLike<number>;
  /** Texts that end an answer. */
  stop: readonly string[];
  /** Tokens that end an answer. */
  stopTokens: readonly number[];
}

/** How a backend makes vectors. */
export interface BackendEmbedOptions {
  signal: AbortSignal;
  /** Keeps the first so many numbers, which are scaled to length 1 again. */
  dimensions?: number;
}

/** State of the KV cache. */
export interface BackendStats {
  /** Held by texts under way. */
  kvBlocksUsed: number;
  /** Left behind by texts that are over, for others that begin the same way. Default 0. */
  kvBlocksCached?: number;
  /** All that there are. */
  kvBlocksTotal: number;
}

/** What the server needs of a model. */
export interface Backend {
  /** What it can do besides plain texts. */
  readonly features: ReadonlySet<Feature>;
  /** Most tokens of a sequence. */
  readonly contextLength: number;
  /** Number of token ids. */
  readonly vocabularySize: number;
  /** What it takes of memory. */
  readonly memoryBytes: number;
  /** Text to ids and back. */
  readonly tokenizer: Pick<Tokenizer, "encode" | "decode" | "tokenBytes"> & Partial<Pick<Tokenizer, "fewestTokens">>;
  /** @throws InvalidOptionError, UnsupportedModelError when the template refuses the messages */
  encodeChat(messages: readonly ChatMessage[], tools?: readonly ToolDefinition[]): Promise<EncodedChat>;
  /** Work begins with the first read and ends when the reader leaves or the signal is aborted. */
  stream(prompt: Prompt, options: BackendOptions): AsyncIterableIterator<BackendChunk, undefined>;
  /** Numbers of a vector. With the feature "embeddings". */
  readonly embeddingLength?: number;
  /** Vectors of the inputs in their order, of length 1 each. With the feature "embeddings". */
  embed?(inputs: readonly ArrayLike<number>[], options: BackendEmbedOptions): Promise<readonly Float32Array[]>;
  /** How likely each token of a text but the first is after those before it, with up to `top` alternatives. */
  score?(tokens: ArrayLike<number>, top: number, signal: AbortSignal): Promise<readonly TokenLogprobs[]>;
  /** State of its cache. */
  stats?(): BackendStats;
  /** Ends all work and frees everything. */
  close(): Promise<void>;
}

/**
 * A loaded model as a backend.
 * @param template name of a built-in chat template or Jinja source; default the model's own
 */
export function modelBackend(model: Model, template?: string): Backend {
  const { info, tokenizer } = model;
  const engine = engineOf(model);
  let chosen: ChatTemplate | undefined;
  const planOf = (tools: readonly ToolDefinition[], choice: ToolChoice | undefined, parallel?: boolean): ToolPlan => {
    chosen ??= chooseTemplate(engine, template);
    return ToolPlan.make("chat", chosen, tokenizer, {
      tools,
      ...(choice === undefined ? {} : { choice }),
      ...(parallel === undefined ? {} : { parallel }),
    });
  };
  return {
    features: new Set<Feature>(["logprobs", "structured", "tools", "embeddings"]),
    contextLength: info.contextLength,
    vocabularySize: info.vocabularySize,
    memoryBytes: info.memory.totalBytes,
    embeddingLength: info.embeddingLength,
    tokenizer,
    async encodeChat(messages, tools = []) {
      chosen ??= chooseTemplate(engine, template);
      return { tokens: await planOf(tools, undefined).encode(messages), ...endsOfTurn(chosen, tokenizer) };
    },
    stream(prompt, { kind: what = "chat", tools = [], toolChoice, parallelToolCalls, ...options }) {
      if (tools.length === 0 || typeof prompt === "string") return streamText(what, engine, prompt, options);
      const plan = planOf(tools, toolChoice, parallelToolCalls);
      const held = plan.hold(resolveGenerationOptions(what, options));
      const reader = plan.reader();
      return streamOnce({
        engine,
        what,
        options: held,
        prompt: () =>
          Promise.resolve({
            tokens: prompt,
            ...(reader ? { transform: (chunk) => reader.read(chunk) } : {}),
          }),
      });
    },
    embed: (inputs, options) => model.embed(inputs, options),
    score: (tokens, top, signal) => engine.scoreAlternatives(tokens, top, signal),
    stats() {
      const { total, free, cached } = model.stats().kvBlocks;
      return { kvBlocksUsed: total - free - cached, kvBlocksCached: cached, kvBlocksTotal: total };
    },
    close: () => model.close(),
  };
}
