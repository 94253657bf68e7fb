import "./dispose";
import { ChatSession, streamReply, type ChatOptions, type Message, type ReplyOptions } from "./chat";
import {
  loadEngine,
  type Engine,
  type EvaluateOptions,
  type ModelInfo,
  type ModelOptions,
  type ModelStats,
} from "./engine";
import {
  collectResult,
  embedTexts,
  evaluateTokens,
  generateSamples,
  scoreContinuation,
  scoreTokens,
  streamText,
} from "./generation";
import type {
  ContinuationScore,
  EmbedOptions,
  GenerationOptions,
  GenerationResult,
  Prompt,
  SchemaLike,
  TextStream,
  ValueOf,
} from "./generation";
import type { Tokenizer } from "./tokenizer";
import { InvalidOptionError } from "./errors";
import { describe, isPrompt } from "./validate";

/** The engine of a model, for the rooms above. Not public. */
export let engineOf: (model: Model) => Engine;

/**
 * A loaded model. It serves any number of texts at the same time: they are computed together, and each says what it
 * would say alone. Close it when it is no longer needed, or declare it with `await using`.
 */
export class Model {
  static {
    engineOf = (model) => model.engine;
  }

  private constructor(private readonly engine: Engine) {}

  /**
   * Loads a GGUF file, a Hugging Face folder (config.json, safetensors, tokenizer) or a model of the Hub
   * ("hf:owner/name[/file][@revision]", fetched once); without a path, the small model that ships with the package.
   * Never blocks the event loop.
   * @throws InvalidOptionError, FileError, ModelFormatError, UnsupportedModelError, OutOfMemoryError, KernelError,
   * AddonLoadError, AbortError
   */
  static async load(path?: string, options?: ModelOptions): Promise<Model> {
    return new Model(await loadEngine(path, options));
  }

  /** What was loaded and what it takes. */
  get info(): ModelInfo {
    return this.engine.info;
  }

  /** Text to token ids and back. */
  get tokenizer(): Tokenizer {
    return this.engine.tokenizer;
  }

  /** Jinja source of the file's own chat template; undefined if it has none. */
  get chatTemplate(): string | undefined {
    return this.engine.chatTemplate;
  }

  /**
   * Continues a prompt: `for await (const chunk of model.stream("Once"))`. Work begins with the first read, pauses while
   * the reader is behind, and ends when the loop is left. The last chunk says how the text ended. A prompt given as
   * token ids is taken as it is.
   * @throws InvalidOptionError, ClosedError. Reading rejects with `ContextLengthError` when the prompt does not fit, and
   * with `AbortError`.
   */
  stream(prompt: Prompt, options?: GenerationOptions): TextStream {
    return streamText("model.stream", this.engine, prompt, options);
  }

  /**
   * Continues a prompt with JSON that is valid for a schema (plain, or of zod 4), and gives its value. Rejects with
   * `InvalidOptionError` for a schema with unsupported keywords, with `IncompleteTextError` when the text ended before it
   * was complete, saying why, and with what a zod schema's own checks throw.
   */
  generate<const S extends SchemaLike>(
    prompt: Prompt,
    options: GenerationOptions & { schema: S },
  ): Promise<GenerationResult & { value: ValueOf<S> }>;
  /** Continues a prompt and waits for the whole text. Rejects as `stream` does. */
  generate(prompt: Prompt, options?: GenerationOptions): Promise<GenerationResult>;
  async generate(
    prompt: Prompt,
    options?: GenerationOptions & { schema?: SchemaLike },
  ): Promise<GenerationResult & { value?: unknown }> {
    const what = "model.generate";
    return collectResult(what, options, (given) => streamText(what, this.engine, prompt, given));
  }

  /**
   * Several texts from one prompt, which is computed once. Text i has the seed `seed + i` and is what `generate` gives
   * with that seed. Rejects as `generate` does; one failure stops all.
   * @param count 1 to 1024
   */
  async generateSamples(prompt: Prompt, count: number, options?: GenerationOptions): Promise<GenerationResult[]> {
    return generateSamples("model.generateSamples", this.engine, prompt, count, options);
  }

  /** What the model does now and did since it was loaded: requests, tokens, cache, guesses. */
  stats(): ModelStats {
    return this.engine.stats;
  }

  /** Frees what texts that are over left in the KV cache for others that begin the same way. @throws ClosedError */
  clearPrefixCache(): void {
    this.engine.clearPrefixCache();
  }

  /** Starts a conversation. @throws InvalidOptionError, ClosedError, ModelFormatError for an unusable template */
  chat(options?: ChatOptions): ChatSession {
    return new ChatSession(this.engine, options);
  }

  /**
   * Writes a conversation to a file: its messages, and what the KV cache has of it. The file is complete or not there at
   * all; a session that goes on does not change it.
   * @throws InvalidOptionError for another model's session, QueueFullError while an answer is being read, FileError,
   * ClosedError
   */
  async saveState(chat: ChatSession, path: string): Promise<void> {
    checkPath("model.saveState", path);
    if (!(chat instanceof ChatSession)) {
      throw new InvalidOptionError(
        `model.saveState: the first argument must be a chat session, not ${describe(chat)}.`,
      );
    }
    await chat.save(path, this.engine);
  }

  /**
   * A conversation as it was saved, which goes on as if it had never stopped; its beginning is not computed again as far
   * as the cache has room for it. Options and functions are not saved: give them again. The file may be of another
   * machine.
   * @throws StateError for a file that is damaged or of another model or kvType, FileError, InvalidOptionError,
   * ClosedError
   */
  async loadState(path: string, options?: Omit<ChatOptions, "system">): Promise<ChatSession> {
    checkPath("model.loadState", path);
    return ChatSession.load(this.engine, path, options);
  }

  /**
   * Streams what the assistant says next in a conversation that the caller keeps: the same as a session's answer, without
   * a state. Calls of `tools` come in the chunks (`toolCalls`); they are not made.
   * @throws InvalidOptionError, ClosedError, ModelFormatError for an unusable template. Reading rejects as `stream`'s
   * does, and with `UnsupportedModelError` when the template refuses the messages
   */
  reply(messages: readonly Message[], options?: ReplyOptions): TextStream {
    return streamReply(this.engine, messages, options);
  }

  /**
   * The logits of every position: a Float32Array [tokens, vocabulary] whose row i scores what may follow tokens 0..i.
   * The tokens are taken as they are; nothing is put in front.
   * @throws InvalidOptionError, ContextLengthError, ClosedError, AbortError
   */
  async evaluate(tokens: ArrayLike<number>, options?: EvaluateOptions): Promise<Float32Array> {
    return evaluateTokens(this.engine, tokens, options);
  }

  /**
   * How likely each token is after those before it: natural logarithms of probabilities, [tokens - 1], entry i is that
   * of token i + 1. Takes little memory, whatever the vocabulary.
   * @throws InvalidOptionError, ContextLengthError, ClosedError, AbortError
   */
  score(tokens: ArrayLike<number>, options?: EvaluateOptions): Promise<Float64Array>;
  /**
   * How likely `continuation` is after `prompt`; text is encoded in two parts. Several continuations of one prompt share
   * its cache.
   * @throws InvalidOptionError when one has no tokens, ContextLengthError, ClosedError, AbortError
   */
  score(prompt: Prompt, continuation: Prompt, options?: EvaluateOptions): Promise<ContinuationScore>;
  async score(
    first: Prompt,
    second?: Prompt | EvaluateOptions,
    third?: EvaluateOptions,
  ): Promise<Float64Array | ContinuationScore> {
    if (isPrompt(second)) return scoreContinuation(this.engine, first, second, third);
    if (typeof first !== "string") return scoreTokens(this.engine, first, second);
    throw new InvalidOptionError("model.score: a text needs a continuation to be scored; or give token ids.");
  }

  /**
   * Vectors of texts, for search and comparison, in the order of the texts; they are computed together.
   * @throws InvalidOptionError, ContextLengthError unless `truncate` is set, ClosedError, AbortError
   */
  async embed(texts: Prompt | readonly Prompt[], options?: EmbedOptions): Promise<Float32Array[]> {
    return embedTexts(this.engine, texts, options);
  }

  /** Stops all work with `AbortError`, waits for its end and frees all memory. Idempotent. */
  close(): Promise<void> {
    return this.engine.close();
  }

  /** Begins to close, for `using`. The memory is free when the step under way has ended. */
  [Symbol.dispose](): void {
    void this.close();
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checkPath(what: string, path: unknown): void {
  if (typeof path === "string" && path !== "") return;
  throw new InvalidOptionError(`${what}: the path must be a string that is not empty, not ${describe(path)}.`);
}
