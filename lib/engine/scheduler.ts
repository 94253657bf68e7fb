import type { ForwardBatch, ForwardResult, NativeContext } from "../../types/addon";
import { AbortError, fromNative, KvCacheFullError } from "../errors";
import { BatchBuilder, ResultReader } from "./batch";
import { BLOCK_POSITIONS, blocksFor, KvPool } from "./kv_pool";
import type { Query, Request } from "./request";
import type { Sequence } from "./sequence";

/** Bounds of a scheduler's steps. */
export interface SchedulerLimits {
  vocabularySize: number;
  /** Most tokens in one step; what the context was made for. */
  maxBatchTokens: number;
  /** Most prompt tokens in a step in which other sequences decode, so that these keep flowing. */
  prefillChunk: number;
  /** Most sequences that are computed at a time; others wait. Paused ones do not count. */
  maxConcurrent: number;
}

/** A request that was submitted, and how far its outputs were handed out. */
interface Task {
  readonly request: Request;
  /** The next position whose output is wanted. */
  nextOutput: number;
  begun: boolean;
  /** No longer of interest to anyone. */
  dropped: boolean;
}

/** The tokens of one task in a step, and the queries made for them in order. */
interface Share {
  readonly task: Task;
  readonly count: number;
  readonly queries: Query[];
}

interface Step {
  readonly batch: ForwardBatch;
  readonly shares: Share[];
  cancelled: boolean;
}

/**
 * The addon computes all logits of a position of which anything is wanted. They take much room: those of a step are held
 * to this many numbers (64 MiB).
 */
const MOST_LOGITS = 1 << 24;
/** An abort that comes too late for its step may hit the next one; more in a row than this are a fault. */
const MOST_STRAY_ABORTS = 8;

/**
 * Continuous batching: every step computes the next token of all running sequences and a share of the prompts that wait
 * to be read. Requests come and go between steps. Where the KV cache does not suffice, the youngest give way and are
 * recomputed later: this changes when a text comes, never what it says.
 */
export class Scheduler {
  readonly pool: KvPool;
  /** Oldest first; a request that had to give way stands in front again. */
  private waiting: Task[] = [];
  /** In the order of admission. */
  private running: Task[] = [];
  private step: Step | undefined;
  private loop: Promise<void> | undefined;
  private stopped: Error | undefined;
  private uses = 0;
  private strayAborts = 0;

  constructor(
    private readonly context: NativeContext,
    private readonly limits: SchedulerLimits,
  ) {
    this.pool = new KvPool(context);
  }

  /** Takes a request in. Its `receive` and `fail` are called later, never before this returns. */
  submit(request: Request): void {
    if (this.stopped) throw this.stopped;
    this.waiting.push({ request, nextOutput: request.firstOutput, begun: false, dropped: false });
    this.wake();
  }

  /**
   * Forgets a request: it is not called again. If nobody waits for the step under way any more, the step is stopped.
   * Harmless after the request ended.
   */
  cancel(request: Request): void {
    for (const task of [...this.waiting, ...this.running]) if (task.request === request) task.dropped = true;
    this.forgetDropped();
    const { step } = this;
    if (step && !step.cancelled && step.shares.every(({ task }) => task.dropped)) {
      step.cancelled = true;
      this.context.cancel();
    }
    this.wake();
  }

  /** Frees the cache of a sequence nobody will use again. */
  release(sequence: Sequence): void {
    if (!this.stopped) this.pool.release(sequence);
  }

  /** To be called when a request became ready again. */
  wake(): void {
    if (this.loop || this.stopped) return;
    this.loop = this.run();
  }

  /** Fails everything with `reason`, stops the step under way and waits for its end. Later requests throw `reason`. */
  async stop(reason: Error): Promise<void> {
    if (!this.stopped) {
      this.stopped = reason;
      this.failAll(reason);
      if (this.step) this.context.cancel();
    }
    await this.loop;
  }

  private async run(): Promise<void> {
    // Requests that are submitted in the same turn shall share the first step.
    await Promise.resolve();
    while (!this.stopped) {
      let step: Step | undefined;
      try {
        this.admit();
        const launched = this.launch();
        if (!launched) break;
        step = this.step = launched.step;
        const result = await launched.result;
        this.step = undefined;
        this.strayAborts = 0;
        this.deliver(step, result);
      } catch (error) {
        this.step = undefined;
        this.recover(fromNative(error), step);
      }
    }
    this.loop = undefined;
  }

  /** Moves waiting requests into the running ones while there is room for them. */
  private admit(): void {
    let slots = this.limits.maxConcurrent - this.running.filter(({ request }) => request.ready).length;
    for (const task of [...this.waiting]) {
      if (slots <= 0) break;
      if (!task.request.ready) continue;
      // In order: a small request does not overtake a large one, which might otherwise wait for ever.
      if (!this.makeRoomFor(task)) break;
      this.waiting.splice(this.waiting.indexOf(task), 1);
      this.begin(task);
      this.running.push(task);
      slots--;
    }
  }

  private begin(task: Task): void {
    const { request } = task;
    if (task.begun) return;
    task.begun = true;
    const cached = this.pool.adopt(request.sequence, request.prompt, request.firstOutput);
    request.begin(cached);
  }

  /** Whether the cache has room for a waiting task and for the others to grow; frees what idles or is paused. */
  private makeRoomFor(task: Task): boolean {
    const { request } = task;
    const length = Math.max(task.begun ? request.sequence.tokens.length : request.prompt.length, 1);
    for (;;) {
      const needed = blocksFor(length) - blocksFor(request.sequence.computed) + this.running.length;
      if (this.pool.freeBlocks >= needed) return true;
      if (this.pool.releaseIdle(this.busySequences(request.sequence))) continue;
      // Readers that stopped reading must not keep others out.
      const paused = this.running.findLast((other) => !other.request.ready);
      if (paused) this.preempt(paused);
      // The pool holds at least one full context, so whoever is alone fits.
      else return this.running.length === 0;
    }
  }

  private busySequences(also?: Sequence): Set<Sequence> {
    const busy = new Set(this.running.map(({ request }) => request.sequence));
    if (also) busy.add(also);
    return busy;
  }

  /** Submits the next step; undefined when there is nothing to compute now. */
  private launch(): { step: Step; result: Promise<ForwardResult> } | undefined {
    for (;;) {
      const step = this.compose();
      if (!step) return undefined;
      try {
        return { step, result: this.context.forward(step.batch) };
      } catch (thrown) {
        const error = fromNative(thrown);
        if (!(error instanceof KvCacheFullError)) throw error;
        this.giveWay(error);
      }
    }
  }

  /** Frees cache for the running requests: what idles first, then the paused, then the youngest. */
  private giveWay(error: KvCacheFullError): void {
    if (this.pool.releaseIdle(this.busySequences())) return;
    const holders = this.running.filter(({ request }) => request.sequence.native !== undefined);
    const victim = holders.findLast(({ request }) => !request.ready) ?? holders.at(-1);
    if (victim && holders.length > 1) this.preempt(victim);
    else for (const task of this.running) this.fail(task, error);
    this.forgetDropped();
  }

  /** Takes the cache away from a running request and lets it wait at the front of the queue. */
  private preempt(task: Task): void {
    this.pool.release(task.request.sequence);
    this.running = this.running.filter((other) => other !== task);
    this.waiting.unshift(task);
  }

  /** One token of every sequence that decodes, and of the prompts what still fits, in equal parts. */
  private compose(): Step | undefined {
    const { maxBatchTokens, prefillChunk } = this.limits;
    const ready = this.running.filter(({ request }) => request.ready && request.sequence.pending > 0);
    const decoding = ready.filter(({ request }) => request.sequence.pending === 1).slice(0, maxBatchTokens);
    const prefilling = ready.filter(({ request }) => request.sequence.pending > 1);
    const builder = new BatchBuilder();
    const shares = decoding.map((task) => this.share(task, 1, builder));
    let budget = maxBatchTokens - decoding.length;
    if (decoding.length > 0) budget = Math.min(budget, prefillChunk);
    for (const [index, task] of prefilling.entries()) {
      const part = Math.ceil(budget / (prefilling.length - index));
      const count = Math.min(task.request.sequence.pending, part);
      if (count <= 0) break;
      const share = this.share(task, count, builder);
      budget -= share.count;
      if (share.count > 0) shares.push(share);
    }
    return shares.length > 0 ? { batch: builder.build(), shares, cancelled: false } : undefined;
  }

  /** Puts up to `most` pending tokens of a task into the batch. */
  private share(task: Task, most: number, builder: BatchBuilder): Share {
    const { sequence } = task.request;
    const native = this.pool.open(sequence);
    sequence.lastUsed = ++this.uses;
    const queries: Query[] = [];
    let count = 0;
    for (; count < most; count++) {
      const position = sequence.computed + count;
      const query = position >= task.nextOutput ? task.request.query(position) : undefined;
      if (query && most > 1 && builder.size > 0 && !this.hasRoomForLogits(builder)) break;
      if (query) queries.push(query);
      builder.add(sequence.tokens[position] ?? 0, native, query);
    }
    return { task, count, queries };
  }

  private hasRoomForLogits(builder: BatchBuilder): boolean {
    return (builder.outputs + 1) * this.limits.vocabularySize <= MOST_LOGITS;
  }

  private deliver(step: Step, result: ForwardResult): void {
    const reader = new ResultReader(this.context, result, this.limits.vocabularySize, step.batch);
    for (const { task, count, queries } of step.shares) {
      const { request } = task;
      // A sequence that was released meanwhile has no cache to count.
      if (request.sequence.native !== undefined) request.sequence.computed += count;
      for (const query of queries) {
        const output = reader.next(query);
        if (task.dropped) continue;
        task.nextOutput++;
        try {
          task.dropped = !request.receive(output);
        } catch (error) {
          this.fail(task, fromNative(error));
        }
      }
    }
    this.forgetDropped();
  }

  /** A step failed: after an abort the others are computed again, any other error ends all that there is. */
  private recover(error: Error, step: Step | undefined): void {
    if (this.stopped) return;
    if (step && error instanceof AbortError && (step.cancelled || this.strayAborts++ < MOST_STRAY_ABORTS)) return;
    this.failAll(error);
  }

  private failAll(error: Error): void {
    for (const task of [...this.running, ...this.waiting]) this.fail(task, error);
    this.forgetDropped();
  }

  private fail(task: Task, error: Error): void {
    if (task.dropped) return;
    task.dropped = true;
    task.request.fail(error);
  }

  private forgetDropped(): void {
    this.waiting = this.waiting.filter(({ dropped }) => !dropped);
    this.running = this.running.filter(({ dropped }) => !dropped);
  }
}

/** Blocks of a pool that holds `sequences` sequences of `contextLength` positions at the same time. */
export function poolBlocks(contextLength: number, sequences: number): number {
  return Math.ceil(contextLength / BLOCK_POSITIONS) * sequences;
}
