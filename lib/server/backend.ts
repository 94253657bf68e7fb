import { chooseTemplate } from "../chat/session";
import { encodeChat } from "../chat/template_encode";
import type { ChatTemplate, Message } from "../chat";
import type { Chunk, FinishReason, GenerationOptions, Prompt } from "../generation";
import type { Model } from "../model";
import type { Tokenizer } from "../tokenizer";

/** What not every backend can do; requests for the others are refused, naming the field. */
export type Feature = "logprobs" | "structured" | "tools" | "embeddings";

/** A function that the model may call. */
export interface ToolDefinition {
  name: string;
  description?: string;
  /** JSON schema of the arguments. */
  parameters?: Readonly<Record<string, unknown>>;
  /** Arguments must be valid for the schema. */
  strict?: boolean;
}

/** Which functions the model shall call: its choice, none, at least one, or the one named. */
export type ToolChoice = "auto" | "none" | "required" | { name: string };

/** A call of a function, whole. */
export interface ToolCall {
  id: string;
  name: string;
  /** JSON text. */
  arguments: string;
}

/** One turn of a conversation as clients send it. */
export interface ChatMessage extends Message {
  /** Calls that the assistant made in this turn. */
  toolCalls?: readonly ToolCall[];
  /** In a message of role "tool": the call that it answers. */
  toolCallId?: string;
}

/** The form of a text: any JSON object, or one that is valid for a schema. */
export type TextFormat = { type: "json_object" } | { type: "json_schema"; schema: Readonly<Record<string, unknown>> };

/** How a backend generates; what it has no feature for is never given to it. */
export interface BackendOptions extends GenerationOptions {
  /** Alternatives to report for every token, 0 to 20; absent: no log-probabilities. */
  logprobs?: number;
  format?: TextFormat;
  tools?: readonly ToolDefinition[];
  toolChoice?: ToolChoice;
  parallelToolCalls?: boolean;
}

/** The natural logarithm of a token's probability, before sampling. */
export interface TokenScore {
  token: number;
  logprob: number;
}

/** A generated token with the likeliest alternatives, likeliest first. */
export interface TokenLogprobs extends TokenScore {
  top: readonly TokenScore[];
}

/** A piece of a function call. `id` and `name` come with the first piece of each index. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  name?: string;
  arguments: string;
}

/** A piece of an answer. */
export interface BackendChunk extends Omit<Chunk, "finishReason"> {
  finishReason?: FinishReason | "tool_calls";
  /** One for each of `tokens`, where they were asked for. */
  logprobs?: readonly TokenLogprobs[];
  toolCalls?: readonly ToolCallDelta[];
}

/** A conversation as the model reads it, and what ends its turn. */
export interface EncodedChat {
  tokens: ArrayLike<number>;
  stop: readonly string[];
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
  kvBlocksTotal: number;
}

/** What the server needs of a model. */
export interface Backend {
  readonly features: ReadonlySet<Feature>;
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly memoryBytes: number;
  readonly tokenizer: Pick<Tokenizer, "encode" | "decode" | "tokenBytes">;
  /** @throws InvalidOptionError, UnsupportedModelError when the template refuses the messages */
  encodeChat(messages: readonly ChatMessage[], tools?: readonly ToolDefinition[]): Promise<EncodedChat>;
  /** Work begins with the first read and ends when the reader leaves or the signal is aborted. */
  stream(prompt: Prompt, options: BackendOptions): AsyncIterableIterator<BackendChunk, undefined>;
  /** Numbers of a vector. With the feature "embeddings". */
  readonly embeddingLength?: number;
  /** Vectors of the inputs in their order, of length 1 each. With the feature "embeddings". */
  embed?(inputs: readonly ArrayLike<number>[], options: BackendEmbedOptions): Promise<readonly Float32Array[]>;
  stats?(): BackendStats;
  close(): Promise<void>;
}

/**
 * A loaded model as a backend.
 * @param template name of a built-in chat template or Jinja source; default the model's own
 */
export function modelBackend(model: Model, template?: string): Backend {
  const { info, tokenizer } = model;
  let chosen: ChatTemplate | undefined;
  return {
    features: new Set<Feature>(["logprobs", "structured", "embeddings"]),
    contextLength: info.contextLength,
    vocabularySize: info.vocabularySize,
    memoryBytes: info.memory.totalBytes,
    embeddingLength: info.embeddingLength,
    tokenizer,
    async encodeChat(messages) {
      chosen ??= chooseTemplate({ info, tokenizer, chatTemplate: model.chatTemplate }, template);
      const tokens = await encodeChat(
        chosen,
        tokenizer,
        messages.map(({ role, content }) => ({ role, content })),
      );
      return { tokens, ...endsOfTurn(chosen, tokenizer) };
    },
    // What the engine has no name for never arrives: its feature is not announced.
    stream: (prompt, { tools: _tools, toolChoice: _choice, parallelToolCalls: _parallel, ...options }) =>
      model.stream(prompt, options),
    embed: (inputs, options) => model.embed(inputs, options),
    stats() {
      const { total, free, cached } = model.stats().kvBlocks;
      return { kvBlocksUsed: total - free - cached, kvBlocksCached: cached, kvBlocksTotal: total };
    },
    close: () => model.close(),
  };
}

/** What ends a turn in a template: control tokens where the vocabulary has them, else their text. */
function endsOfTurn(template: ChatTemplate, tokenizer: Tokenizer): { stop: string[]; stopTokens: number[] } {
  const stop: string[] = [];
  const stopTokens: number[] = [];
  for (const end of template.stop) {
    const id = tokenizer.idOf(end);
    if (id !== undefined && tokenizer.isSpecial(id)) stopTokens.push(id);
    else stop.push(end);
  }
  return { stop, stopTokens };
}
