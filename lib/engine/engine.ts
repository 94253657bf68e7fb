import type { ModelSpec, NativeContext, NativeModel } from "../../types/addon";
import { AbortError, ClosedError, ContextLengthError } from "../errors";
import type { Pooling } from "../files/hf_settings";
import { tokensBeyond, type EncodeOptions, type Tokenizer } from "../tokenizer";
import { integer } from "../validate";
import { collect } from "./collect";
import type { KvType } from "./memory";
import type { CacheWork } from "./packed_cache";
import type { Output, Query, Request } from "./request";
import { identityOf } from "./model_identity";
import { restoreSequence, saveSequence, type StateModel } from "./saved_sequence";
import { Scheduler } from "./scheduler";
import type { SchedulerLimits, SchedulerStats } from "./scheduler_types";
import type { Sequence } from "./sequence";

/** What a loaded model is and what it takes. */
export interface ModelInfo {
  /** Absolute path of the file. */
  readonly path: string;
  /** `general.name` of the file. */
  readonly name?: string;
  /** `general.architecture` of the file, or what a folder's config.json stands for. */
  readonly architecture: string;
  /** Parameters of all tensors. */
  readonly parameters: number;
  /** Most tokens of a sequence as loaded. */
  readonly contextLength: number;
  /** Most tokens that the model was made for. */
  readonly modelContextLength: number;
  /** Number of token ids. */
  readonly vocabularySize: number;
  /** Numbers of a hidden state. */
  readonly embeddingLength: number;
  /** Decoder blocks. */
  readonly layerCount: number;
  /** Query heads of each block. */
  readonly headCount: number;
  /** Heads of keys and values of each block. */
  readonly headCountKv: number;
  /** Numbers within the feed-forward part of a block. */
  readonly ffnLength: number;
  /** How the model makes a text's vector of its tokens'; absent: it does not say. */
  readonly pooling?: Pooling;
  /** The ternary kernel in use, "avx2-i2s" for example. */
  readonly kernel: string;
  /** The instruction set of the float operations. */
  readonly floatLevel: string;
  /** Threads that compute. */
  readonly threads: number;
  /** How keys and values are kept. */
  readonly kvType: KvType;
  /** What it takes of memory. */
  readonly memory: {
    /** Ternary weights in the kernel's layout. */
    readonly packedBytes: number;
    /** Embedding, head and norms, in the mapped file. */
    readonly mappedBytes: number;
    /** KV cache and intermediate results. */
    readonly contextBytes: number;
    /** The sum. */
    readonly totalBytes: number;
  };
  /** Whether the weights came from the packed cache. */
  readonly fromPackedCache: boolean;
  /** Bytes of weights that one decoded token reads. */
  readonly bytesPerToken: number;
  /** Multiply-adds of the matrices for one prompt token, without head and attention. */
  readonly macsPerToken: number;
}

/** What an engine is made of; it owns all of it. */
export interface EngineParts {
  native: NativeModel;
  context: NativeContext;
  tokenizer: Tokenizer;
  /** Writes the packed weights for later loads, or copies them into memory; undefined: there is nothing to do. */
  cacheWork?: CacheWork | undefined;
  info: ModelInfo;
  spec: ModelSpec;
  limits: SchedulerLimits;
  /** Jinja source of the model's chat template. */
  chatTemplate: string | undefined;
}

/** Options of the methods that compute over given tokens. */
export interface EvaluateOptions {
  /** Stops the work; the promise rejects with `AbortError`. */
  signal?: AbortSignal;
  /** As that of generated texts: higher ones are served first where some must wait, -100 to 100. Default 0. */
  priority?: number;
  /** Milliseconds after which the work is given up with an `AbortError`, waiting included. Default: no limit. */
  timeout?: number;
}

/** How work within the engine is ordered and stopped. */
export type WorkOptions = Pick<EvaluateOptions, "signal" | "priority">;

/** A token, how likely it was in its place, and what was likeliest there; natural logarithms of probabilities. */
export interface ScoredToken {
  token: number;
  logprob: number;
  top: { token: number; logprob: number }[];
}

/** More numbers than this do not fit into a typed array everywhere. */
const MOST_LOGITS = 2 ** 31 - 1;

/** A loaded model at work: the scheduler over its native context, and everything that closes with it. */
export class Engine {
  readonly tokenizer: Tokenizer;
  readonly info: ModelInfo;
  readonly chatTemplate: string | undefined;
  private readonly scheduler: Scheduler;
  private closing: Promise<void> | undefined;
  private identity: Promise<string> | undefined;

  constructor(private readonly parts: EngineParts) {
    this.tokenizer = parts.tokenizer;
    this.info = parts.info;
    this.chatTemplate = parts.chatTemplate;
    this.scheduler = new Scheduler(parts.context, parts.limits);
  }

  /** @throws ClosedError after `close` */
  checkOpen(): void {
    if (this.closing) throw new ClosedError(`The model "${this.info.path}" was closed; load it again.`);
  }

  /** See `Scheduler.submit`. @throws ClosedError after `close` */
  submit(request: Request): void {
    this.checkOpen();
    this.scheduler.submit(request);
  }

  /** See `Scheduler.cancel`. */
  cancel(request: Request): void {
    this.scheduler.cancel(request);
  }

  /** See `Scheduler.release`. */
  release(sequence: Sequence): void {
    this.scheduler.release(sequence);
  }

  /** What the model does and did since it was loaded. */
  get stats(): SchedulerStats {
    return this.scheduler.stats;
  }

  /** Frees what texts that are over left in the KV cache for others that begin the same way. */
  clearPrefixCache(): void {
    this.checkOpen();
    this.scheduler.clearCache();
  }

  /** To be called when a request that was not ready became so. */
  wake(): void {
    this.scheduler.wake();
  }

  /**
   * Checks token ids that a user gave. Whoever computes them has done it: nothing below does it again.
   * @param what the list, for messages: "model.stream: the prompt"
   * @param most longest list that is allowed
   * @throws InvalidOptionError for what is no id of the vocabulary, ContextLengthError for too many
   */
  checkTokens(what: string, tokens: ArrayLike<number>, most: number): void {
    if (tokens.length > most) throw this.tooLong(what, tokens.length, most);
    const max = this.info.vocabularySize - 1;
    for (let i = 0; i < tokens.length; i++) {
      const id = tokens[i] ?? -1;
      if (Number.isInteger(id) && id >= 0 && id <= max) continue;
      integer({ min: 0, max })(`${what}: token ${i}`, tokens[i]);
    }
  }

  /**
   * The tokens of a text that a user gave. One that cannot fit is refused before it is read to its end.
   * @param most tokens that fit; Infinity: the text is cut later, or not computed at once
   * @throws ContextLengthError
   */
  async encode(what: string, text: string, most: number, options?: EncodeOptions): Promise<Int32Array> {
    await this.checkFits(what, text, most, options);
    return this.tokenizer.encode(text, options);
  }

  /** Refuses a text that cannot fit, without reading it to its end: see `tokensBeyond`. @throws ContextLengthError */
  async checkFits(what: string, text: string, most: number, options?: EncodeOptions): Promise<void> {
    const beyond = await tokensBeyond(this.tokenizer, text, most, options);
    if (beyond !== undefined) throw this.tooLong(what, `at least ${beyond}`, most);
  }

  /** The error for a prompt or text that does not fit. */
  tooLong(what: string, length: number | string, most: number): ContextLengthError {
    const { contextLength, modelContextLength } = this.info;
    const remedy =
      contextLength < modelContextLength
        ? `Load the model with a larger contextLength (up to ${modelContextLength}), or shorten it.`
        : "Shorten it.";
    return new ContextLengthError(
      `${what} has ${length} tokens; at most ${most} fit into the context of ${contextLength}. ${remedy}`,
    );
  }

  /**
   * The logits of every position: [tokens, vocabulary], row i scores what may follow tokens 0..i. The tokens are taken
   * as they are; nothing is put in front. They were checked.
   */
  async evaluate(tokens: ArrayLike<number>, { signal, priority }: WorkOptions): Promise<Float32Array> {
    this.checkOpen();
    const what = "model.evaluate";
    const { vocabularySize } = this.info;
    if (tokens.length * vocabularySize > MOST_LOGITS) {
      const most = Math.floor(MOST_LOGITS / vocabularySize);
      throw new ContextLengthError(`${what}: the logits of more than ${most} tokens do not fit into one array.`);
    }
    const logits = new Float32Array(tokens.length * vocabularySize);
    const query: Query = { want: 2, candidates: 1, temperature: 1 };
    await collect(this.scheduler, tokens, {
      what,
      signal,
      priority,
      query: () => query,
      onOutput: (position, output) => logits.set(output.allLogits(), position * vocabularySize),
    });
    return logits;
  }

  /**
   * How likely each token is after those before it: natural logarithms of probabilities, entry i is that of token
   * `first` + i. Takes the memory of a few numbers a token, whatever the vocabulary. The tokens were checked.
   * @param first at least 1; what comes before may be in the cache
   */
  async score(tokens: ArrayLike<number>, options: WorkOptions, first = 1): Promise<Float64Array> {
    const scores = new Float64Array(Math.max(tokens.length - first, 0));
    await this.scorePositions(tokens, { ...options, first, candidates: 1 }, (position, { extraLogits, logSumExp }) => {
      scores[position + 1 - first] = (extraLogits[0] ?? NaN) - logSumExp;
    });
    return scores;
  }

  /** As `score` from the second token on, and what would have been likeliest in each token's place: up to `top` tokens. */
  async scoreAlternatives(
    tokens: ArrayLike<number>,
    top: number,
    signal: AbortSignal | undefined,
  ): Promise<ScoredToken[]> {
    this.checkTokens("The prompt", tokens, this.info.contextLength + 1);
    const scores: ScoredToken[] = [];
    const wanted = { first: 1, candidates: Math.max(top, 1), ...(signal ? { signal } : {}) };
    await this.scorePositions(tokens, wanted, (position, { candidateIds, candidateLogits, extraLogits, logSumExp }) => {
      const best = Array.from(candidateIds.subarray(0, top), (token, i) => ({
        token,
        logprob: (candidateLogits[i] ?? NaN) - logSumExp,
      }));
      scores.push({ token: tokens[position + 1] ?? 0, logprob: (extraLogits[0] ?? NaN) - logSumExp, top: best });
    });
    return scores;
  }

  private async scorePositions(
    tokens: ArrayLike<number>,
    { first, candidates, signal, priority }: WorkOptions & { first: number; candidates: number },
    onOutput: (position: number, output: Output) => void,
  ): Promise<void> {
    this.checkOpen();
    const what = "model.score";
    if (tokens.length <= first) return;
    const context = Array.from({ length: tokens.length - 1 }, (_, i) => tokens[i] ?? 0);
    await collect(this.scheduler, context, {
      what,
      signal,
      priority,
      firstOutput: first - 1,
      query: (position) => ({
        want: 1,
        candidates,
        temperature: 1,
        extraIds: Int32Array.of(tokens[position + 1] ?? 0),
      }),
      onOutput,
    });
  }

  /**
   * Computes hidden states after the output norm, from position `first` on. The arrays are views: copy what is kept. The
   * tokens were checked.
   * @param what for error messages: "model.embed"
   */
  async hiddenStates(
    what: string,
    tokens: ArrayLike<number>,
    options: WorkOptions & { first: number; onState: (state: Float32Array) => void },
  ): Promise<void> {
    this.checkOpen();
    const query: Query = { want: 3, candidates: 1, temperature: 1 };
    await collect(this.scheduler, tokens, {
      what,
      signal: options.signal,
      priority: options.priority,
      firstOutput: options.first,
      query: () => query,
      onOutput: (_, { hidden }) => options.onState(hidden),
    });
  }

  /** See `saveSequence`. */
  async saveState(path: string, sequence: Sequence, content: unknown): Promise<void> {
    await saveSequence(this.scheduler, await this.stateModel(), path, sequence, content);
  }

  /** See `restoreSequence`. */
  async restoreState(path: string): Promise<{ sequence: Sequence; content: unknown }> {
    return restoreSequence(this.scheduler, await this.stateModel(), path);
  }

  private async stateModel(): Promise<StateModel> {
    this.checkOpen();
    const { context, spec, info } = this.parts;
    this.identity ??= identityOf(spec);
    const identity = await this.identity;
    this.checkOpen();
    return { identity, blockBytes: context.blockBytes, info };
  }

  /** Stops all work with `AbortError`, waits for its end and frees everything. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    await this.scheduler.stop(new AbortError(`The model "${this.info.path}" was closed.`));
    await this.parts.cacheWork?.end();
    this.freeAll();
  }

  private freeAll(): void {
    this.parts.tokenizer.close();
    this.parts.context.close();
    this.parts.native.close();
  }
}
