import { abortError, onAbort, timeoutError, type Engine, type Sequence } from "../engine";
import { ContextLengthError, fromNative } from "../errors";
import { publishResult } from "./diagnostics";
import { Channel } from "./channel";
import { compileFormOf, GenerationRequest, type ChunkSink } from "./generation_request";
import { beginGenerationSpan, resultAttributes } from "./generation_span";
import type { ResolvedGenerationOptions } from "./options";
import { keptTokens, slide } from "./sliding";
import { ToolCallList } from "./tool_calls";
import type { Span } from "./tracing";
import type { Chunk, GenerationResult, TokenLogprobs } from "./types";

/** Chunks that the engine may be ahead of the reader before the text pauses. */
const MOST_AHEAD = 64;

/** What a text starts from, once that is known. */
export interface PreparedPrompt {
  tokens: ArrayLike<number>;
  /** Tokens that were left out of it already. Default 0. */
  droppedTokens?: number;
  /** In place of the source's. */
  options?: ResolvedGenerationOptions;
  /** Called for every chunk that was made; what it gives is read in its place, and nothing where it gives nothing. */
  transform?: (chunk: Chunk) => Chunk | undefined;
}

/** What a stream is made of. */
export interface StreamSource {
  engine: Engine;
  /** For error messages: "model.stream". */
  what: string;
  options: ResolvedGenerationOptions;
  /** Called at the first read: what the text starts from, or an error. */
  prompt: () => Promise<PreparedPrompt>;
  /** Where the text is computed. */
  sequence: Sequence;
  /** Called once when it is over: the last chunk was read (true), or it was given up or failed (false). */
  ended: (complete: boolean) => void;
}

/**
 * A text as it is generated, to be read with `for await`. Work begins with the first read, pauses while the reader is
 * more than 64 chunks behind, and ends at once when the reader leaves the loop.
 */
export class TextStream implements AsyncIterableIterator<Chunk, undefined> {
  private readonly channel: Channel<Chunk>;
  private request: GenerationRequest | undefined;
  private begun = false;
  private over = false;
  private removeListener: () => void = () => undefined;
  private span: Span | undefined;

  /** Made by `model.stream` and `chat.send`. */
  constructor(private readonly source: StreamSource) {
    this.channel = new Channel(MOST_AHEAD, () => source.engine.wake());
  }

  /** The next chunk. Rejects with `AbortError` when the signal is aborted, and with whatever else stopped the text. */
  async next(): Promise<IteratorResult<Chunk, undefined>> {
    if (!this.begun) this.begin();
    const result = await this.channel.read();
    if (result.done || this.over) return result;
    if (result.value.finishReason === "context" && this.source.options.overflow === "error") {
      const what = `${this.source.what}: the answer does not fit into what is left of the context.`;
      const error = new ContextLengthError(what);
      this.settle(false, { error });
      throw error;
    }
    // Complete is what was read to its end, not what was computed: that does not depend on how fast the machine is.
    if (result.value.finishReason !== undefined) {
      this.settle(true, { last: result.value });
      publishResult(this.source.what, this.source.engine.info, result.value);
    }
    return result;
  }

  /** Ends the stream; `for await` calls it when its loop is left. */
  return(): Promise<IteratorResult<Chunk, undefined>> {
    this.begun = true;
    this.channel.discard();
    this.giveUp();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Ends the stream and rejects with the error given. */
  async throw(error?: unknown): Promise<IteratorResult<Chunk, undefined>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private begin(): void {
    this.begun = true;
    const { engine, what, options } = this.source;
    const { signal } = options;
    this.span = beginGenerationSpan(what, engine.info, options);
    if (signal?.aborted) {
      this.stop(abortError(this.source.what, signal));
      return;
    }
    this.removeListener = onAbort(signal, () => {
      if (signal) this.stop(abortError(this.source.what, signal));
    });
    this.limitTime();
    void this.submit(performance.now());
  }

  private limitTime(): void {
    const { options, what } = this.source;
    const { timeout } = options;
    if (timeout === undefined) return;
    const removeListener = this.removeListener;
    const timer = setTimeout(() => this.stop(timeoutError(what, timeout)), timeout);
    this.removeListener = () => {
      clearTimeout(timer);
      removeListener();
    };
  }

  private async submit(startedAt: number): Promise<void> {
    const { engine, sequence, what, prompt } = this.source;
    try {
      engine.checkOpen();
      const { tokens: whole, options = this.source.options, transform, droppedTokens = 0 } = await prompt();
      if (this.isOver()) return;
      const compiled = await compileFormOf(engine, options);
      if (this.isOver()) return;
      // One position must be left for an answer.
      const most = engine.info.contextLength - 1;
      const slides = options.overflow === "slide";
      const kept = slides ? keptTokens(what, engine, options.keepTokens) : 0;
      const tokens = slides && whole.length > most ? slide(whole, kept, most) : whole;
      engine.checkTokens(`${what}: the prompt`, tokens, most);
      const { channel } = this;
      const sink: ChunkSink = {
        get hasRoom() {
          return channel.hasRoom;
        },
        chunk: (chunk) => this.take(transform ? transform(chunk) : chunk),
        fail: (error) => this.fail(error),
      };
      const dropped = droppedTokens + whole.length - tokens.length;
      const beginning = { startedAt, keptTokens: kept, droppedTokens: dropped };
      this.request = new GenerationRequest(engine, sequence, tokens, options, sink, beginning, compiled);
      engine.submit(this.request);
    } catch (error) {
      this.fail(fromNative(error));
    }
  }

  /** It may be given up while something is awaited. */
  private isOver(): boolean {
    return this.over;
  }

  private take(chunk: Chunk | undefined): void {
    if (!chunk) return;
    this.channel.push(chunk);
    if (chunk.finishReason !== undefined) this.channel.end();
  }

  /** Gives the text up: the reader gets `error`. */
  stop(error: Error): void {
    this.begun = true;
    this.channel.fail(error);
    this.giveUp(error);
  }

  private fail(error: Error): void {
    if (this.over) return;
    this.channel.fail(error);
    this.settle(false, { error });
  }

  private giveUp(error?: Error): void {
    if (this.over) return;
    if (this.request) this.source.engine.cancel(this.request);
    this.settle(false, error ? { error } : {});
  }

  /** @param last the last chunk, where the text was read to its end */
  private settle(complete: boolean, { last, error }: { last?: Chunk; error?: Error }): void {
    if (this.over) return;
    this.over = true;
    this.removeListener();
    this.source.ended(complete);
    this.span?.end(resultAttributes(last ?? {}), error);
  }
}

/** Reads a stream to its end. */
export async function collectText(stream: AsyncIterable<Chunk>): Promise<GenerationResult> {
  let text = "";
  const tokens: number[] = [];
  const logprobs: TokenLogprobs[] = [];
  const calls = new ToolCallList();
  for await (const chunk of stream) {
    text += chunk.text;
    for (const token of chunk.tokens) tokens.push(token);
    for (const each of chunk.logprobs ?? []) logprobs.push(each);
    calls.add(chunk);
    const { finishReason, usage, timings } = chunk;
    if (!finishReason || !usage || !timings) continue;
    const toolCalls = calls.complete;
    return {
      ...{ text, tokens, usage, finishReason, timings },
      ...(chunk.logprobs ? { logprobs } : {}),
      ...(toolCalls.length > 0 ? { toolCalls } : {}),
    };
  }
  throw new Error("A stream ended without a last chunk");
}
