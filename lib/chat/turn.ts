import { AbortError } from "../errors";
import { abortError, onAbort, timeoutError } from "../engine";
import { ToolCallList, type Chunk, type TextStream, type ToolCall, type ToolResult, type Usage } from "../generation";
import type { Message } from "./template";
import { runsAlone, runTools, type Tools } from "./tools";

/** What a turn of a conversation is made of. */
export interface TurnSource {
  /** For error messages: "chat.send". */
  what: string;
  signal: AbortSignal | undefined;
  /** Milliseconds that the whole turn may take, answers and functions together. */
  timeout: number | undefined;
  /** What the turn begins with: the question, or the results of calls. */
  messages: readonly Message[];
  tools: Tools;
  /** Most answers of one turn; the calls of the last are not followed. */
  mostRounds: number;
  /** What functions throw is told to the model. */
  tellErrors: boolean;
  /** Called at the first read. May throw. */
  begin(): void;
  /** The answer to the history, with these messages behind it. */
  answer(messages: readonly Message[], round: number): TextStream;
  /** Called once: with the turn's messages when it was read to its end, else without. */
  ended(messages: readonly Message[] | undefined, openCalls: readonly ToolCall[]): void;
}

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, totalTokens: 0, cachedTokens: 0 };

/**
 * One turn as it is generated, to be read with `for await`: an answer, and where it calls functions that can be called
 * here, their results and the answers behind. It ends at once when the reader leaves the loop.
 */
export class ChatTurn implements AsyncIterableIterator<Chunk, undefined> {
  private readonly messages: Message[];
  private readonly stopTools = new AbortController();
  private stream: TextStream | undefined;
  private round = 0;
  private text = "";
  private calls = new ToolCallList();
  private usage = NO_USAGE;
  private firstTokenMs: number | undefined;
  private startedAt = 0;
  private over = false;
  private failure: Error | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<unknown> = Promise.resolve();

  /** Made by `chat.send`. */
  constructor(private readonly source: TurnSource) {
    this.messages = [...source.messages];
  }

  /** The next chunk. Rejects with `AbortError` when the signal is aborted, and with whatever else stopped the turn. */
  next(): Promise<IteratorResult<Chunk, undefined>> {
    const result = this.reading.then(() => this.advance());
    this.reading = result.catch(() => undefined);
    return result;
  }

  /** Ends the turn; `for await` calls it when its loop is left. */
  async return(): Promise<IteratorResult<Chunk, undefined>> {
    this.settle(undefined);
    await this.stream?.return();
    return { done: true, value: undefined };
  }

  /** Ends the turn and rejects with the error given. */
  async throw(error?: unknown): Promise<IteratorResult<Chunk, undefined>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Gives the turn up: the reader gets `error`. */
  stop(error: Error): void {
    if (this.over) return;
    this.failure = error;
    this.settle(undefined);
    this.stream?.stop(error);
  }

  private async advance(): Promise<IteratorResult<Chunk, undefined>> {
    if (this.failure) {
      const { failure } = this;
      this.failure = undefined;
      throw failure;
    }
    if (this.over) return { done: true, value: undefined };
    try {
      if (!this.stream) this.begin();
      const result = await this.stream?.next();
      // `over` may have become true while the chunk was awaited.
      if (!result || result.done || this.isOver()) return this.end();
      const { value: chunk } = result;
      this.text += chunk.text;
      this.calls.add(chunk);
      return chunk.finishReason === undefined ? result : await this.endOfRound(chunk);
    } catch (error) {
      this.settle(undefined);
      this.failure = undefined;
      throw error;
    }
  }

  private begin(): void {
    const { source } = this;
    const { what, timeout } = source;
    source.begin();
    if (timeout !== undefined) this.timer = setTimeout(() => this.stop(timeoutError(what, timeout)), timeout);
    this.startedAt = performance.now();
    this.stream = this.source.answer(this.messages, this.round);
  }

  /** The reader stopped or was stopped while a chunk was awaited. */
  private end(): IteratorResult<Chunk, undefined> {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    this.settle(undefined);
    return { done: true, value: undefined };
  }

  private async endOfRound(chunk: Chunk): Promise<IteratorResult<Chunk, undefined>> {
    const { source } = this;
    const calls = this.calls.complete;
    this.count(chunk);
    this.messages.push({
      role: "assistant",
      content: this.text,
      ...(calls.length > 0 ? { toolCalls: calls } : {}),
    });
    const called = chunk.finishReason === "tool_calls";
    this.round++;
    if (!called || !runsAlone(source.tools, calls) || this.round >= source.mostRounds) {
      this.settle(this.messages, called ? calls : []);
      return { done: false, value: this.last(chunk) };
    }
    const results = await this.run(calls);
    // Given up meanwhile.
    if (this.isOver()) return this.end();
    for (const { id, content } of results) this.messages.push({ role: "tool", content, toolCallId: id });
    this.text = "";
    this.calls = new ToolCallList();
    this.stream = source.answer(this.messages, this.round);
    const { finishReason: _reason, usage: _usage, timings: _timings, ...rest } = chunk;
    return { done: false, value: { ...rest, toolResults: results } };
  }

  /** Waits for functions, but no longer than the reader does. */
  private async run(calls: readonly ToolCall[]): Promise<ToolResult[]> {
    const { source, stopTools } = this;
    const { signal, what } = source;
    let removeListener = (): void => undefined;
    const aborted = new Promise<never>((_, reject) => {
      const stop = (): void => reject(this.failure ?? (signal ? abortError(what, signal) : new AbortError(what)));
      stopTools.signal.addEventListener("abort", stop, { once: true });
      removeListener = onAbort(signal, () => stopTools.abort());
    });
    try {
      if (signal?.aborted) throw abortError(what, signal);
      return await Promise.race([runTools(source.tools, calls, stopTools.signal, source.tellErrors), aborted]);
    } catch (error) {
      // Left by the reader, who gets no error.
      if (this.over && !this.failure) return [];
      throw error;
    } finally {
      removeListener();
    }
  }

  private count({ usage = NO_USAGE, timings }: Chunk): void {
    const { usage: before } = this;
    const sum = (name: keyof Usage): number => (before[name] ?? 0) + (usage[name] ?? 0);
    const droppedTokens = sum("droppedTokens");
    this.usage = {
      promptTokens: sum("promptTokens"),
      completionTokens: sum("completionTokens"),
      totalTokens: sum("totalTokens"),
      cachedTokens: sum("cachedTokens"),
      ...(droppedTokens > 0 ? { droppedTokens } : {}),
    };
    this.firstTokenMs ??= timings?.timeToFirstTokenMs;
  }

  /** The last chunk of the turn: what it took is that of all its answers. */
  private last(chunk: Chunk): Chunk {
    const { timings } = chunk;
    if (this.round === 1 || !timings) return chunk;
    return {
      ...chunk,
      usage: this.usage,
      timings: {
        ...timings,
        timeToFirstTokenMs: this.firstTokenMs ?? timings.timeToFirstTokenMs,
        totalMs: performance.now() - this.startedAt,
      },
    };
  }

  private isOver(): boolean {
    return this.over;
  }

  private settle(messages: readonly Message[] | undefined, openCalls: readonly ToolCall[] = []): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.source.ended(messages, openCalls);
    if (!messages) this.stopTools.abort();
  }
}
