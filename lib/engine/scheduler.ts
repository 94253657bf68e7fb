import type { ForwardBatch, ForwardResult, NativeContext } from "../../types/addon";
import { AbortError, fromNative, KvCacheFullError, QueueFullError } from "../errors";
import { BatchBuilder, ResultReader } from "./batch";
import { BLOCK_POSITIONS, blocksFor } from "./blocks";
import { KvPool } from "./kv_pool";
import { PassCosts } from "./pass_costs";
import type { Query, Request } from "./request";
import type { SchedulerLimits, SchedulerStats } from "./scheduler_types";
import type { Sequence } from "./sequence";
import { priorityOf, youngest, type Task } from "./task";

/** The tokens of one task in a step, and the queries made for them in order. */
interface Share {
  readonly task: Task;
  readonly count: number;
  /** Guesses behind the last token that is known. */
  readonly drafts: readonly number[];
  readonly queries: Query[];
}

interface Step {
  readonly batch: ForwardBatch;
  readonly shares: Share[];
  /** No prompt is read in it. */
  readonly decodesOnly: boolean;
  cancelled: boolean;
}

function computes(step: Step, sequence: Sequence): boolean {
  return step.shares.some(({ task }) => task.request.sequence === sequence);
}

/**
 * The addon computes all logits of a position of which anything is wanted. They take much room: those of a step are held
 * to this many numbers (64 MiB).
 */
const MOST_LOGITS = 1 << 24;
/** An abort that comes too late for its step may hit the next one; more in a row than this are a fault. */
const MOST_STRAY_ABORTS = 8;
/** Positions that decode in a step with guesses: beyond, computing costs more than reading the weights again. */
const MOST_DECODED = 16;

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
  private readonly tasks = new Map<Request, Task>();
  /** Whether dropped tasks may stand among those. */
  private stale = false;
  private step: Step | undefined;
  /** Resolves when the step under way is over, or soon after. */
  private stepEnd: Promise<unknown> = Promise.resolve();
  private loop: Promise<void> | undefined;
  private stopped: Error | undefined;
  private uses = 0;
  private strayAborts = 0;
  private readonly costs = new PassCosts(MOST_DECODED);
  private readonly counts = {
    ...{ steps: 0, computedTokens: 0, cachedTokens: 0, promptTokens: 0, cacheHits: 0, requests: 0 },
    ...{ preemptions: 0, draftTokens: 0, acceptedDrafts: 0 },
  };

  constructor(
    private readonly context: NativeContext,
    private readonly limits: SchedulerLimits,
  ) {
    this.pool = new KvPool(context, limits.cacheBlocks ?? 0);
  }

  /**
   * Takes a request in. Its `receive` and `fail` are called later, never before this returns.
   * @throws QueueFullError when too many wait
   */
  submit(request: Request): void {
    if (this.stopped) throw this.stopped;
    const { maxConcurrent, maxQueue = Infinity } = this.limits;
    this.forgetDropped();
    if (this.waiting.length + this.running.length >= maxConcurrent + maxQueue) {
      throw new QueueFullError(
        `${maxQueue} requests wait already. Try again later, or load the model with a larger maxQueue.`,
      );
    }
    const task = { request, nextOutput: request.firstOutput, begun: false, dropped: false };
    // Behind all others of the same priority: mostly at the end, whatever number waits.
    let at = this.waiting.length;
    for (; at > 0; at--) {
      const before = this.waiting[at - 1];
      if (before && priorityOf(before) >= priorityOf(task)) break;
    }
    this.waiting.splice(at, 0, task);
    this.tasks.set(request, task);
    this.wake();
  }

  get stats(): SchedulerStats {
    this.forgetDropped();
    const { pool } = this;
    const kvBlocks = this.stopped
      ? { total: 0, free: 0, cached: 0 }
      : { total: pool.totalBlocks, free: pool.freeBlocks, cached: pool.cache.blocks };
    return { running: this.running.length, waiting: this.waiting.length, ...this.counts, kvBlocks };
  }

  /**
   * Forgets a request: it is not called again. If nobody waits for the step under way any more, the step is stopped.
   * Harmless after the request ended.
   */
  cancel(request: Request): void {
    const task = this.tasks.get(request);
    if (!task) return;
    this.drop(task);
    const { step } = this;
    if (step && !step.cancelled && step.shares.every(({ task }) => task.dropped)) {
      step.cancelled = true;
      this.context.cancel();
    }
    this.wake();
  }

  /** Nobody will use a sequence again: its cache is freed, or kept for others that begin the same way. */
  release(sequence: Sequence): void {
    if (this.stopped) return;
    if (this.step && computes(this.step, sequence)) this.pool.release(sequence);
    else this.pool.retire(sequence);
  }

  /** Waits until no step computes a sequence: that of a request that was cancelled goes on for a while. */
  async untilIdle(sequence: Sequence): Promise<void> {
    while (this.step && computes(this.step, sequence)) await this.stepEnd;
  }

  /** Frees a block of the cache that idles, for a sequence that is not computed; false if there is none. */
  makeRoom(sequence: Sequence): boolean {
    sequence.lastUsed = ++this.uses;
    this.forgetDropped();
    return this.pool.freeBlocks > 0 || this.pool.releaseIdle(this.busySequences(sequence));
  }

  /** Frees what texts left behind. */
  clearCache(): void {
    if (!this.stopped) this.pool.cache.clear();
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
        this.stepEnd = launched.result.catch(() => undefined);
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
    this.forgetDropped();
    if (this.waiting.length === 0) return;
    let slots = this.limits.maxConcurrent - this.running.filter(({ request }) => request.ready).length;
    for (const task of [...this.waiting]) {
      if (!task.request.ready) continue;
      if (slots <= 0) {
        // One that matters less steps aside, and keeps its cache as long as nobody needs the room.
        const lower = youngest(this.lowerThan(task).filter(({ request }) => request.ready));
        if (!lower) break;
        this.stepAside(lower);
        slots++;
      }
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
    const { sequence } = request;
    if (task.begun) {
      // It gave its cache away; others may have some of it.
      if (sequence.native === undefined) this.pool.adopt(sequence, [...sequence.tokens], task.nextOutput);
      return;
    }
    task.begun = true;
    const cached = this.pool.adopt(sequence, request.prompt, request.firstOutput);
    this.counts.requests++;
    this.counts.promptTokens += request.prompt.length;
    this.counts.cachedTokens += cached;
    if (cached > 0) this.counts.cacheHits++;
    request.begin(cached);
  }

  /** Whether the cache has room for a waiting task and for the others to grow; frees what idles or is paused. */
  private makeRoomFor(task: Task): boolean {
    const { request } = task;
    const tokens = task.begun ? request.sequence.tokens : request.prompt;
    const length = Math.max(tokens.length, 1);
    for (;;) {
      // Blocks that are shared need no room; of one that is not full a copy is made.
      const shared = Math.floor(this.pool.known(request.sequence, tokens, task.nextOutput) / BLOCK_POSITIONS);
      const needed = blocksFor(length) - shared + this.running.length;
      const { freeBlocks } = this.pool;
      if (freeBlocks >= needed) return true;
      if (this.pool.releaseIdle(this.busySequences(request.sequence), needed - freeBlocks)) continue;
      // Readers that stopped reading must not keep others out.
      const paused = youngest(this.running.filter((other) => !other.request.ready));
      const victim = paused ?? youngest(this.lowerThan(task));
      if (victim) this.preempt(victim);
      // The pool holds at least one full context, so whoever is alone fits.
      else return this.running.length === 0;
    }
  }

  /** Running requests of lower priority. */
  private lowerThan(task: Task): Task[] {
    return this.running.filter((other) => priorityOf(other) < priorityOf(task));
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
    const victim = youngest(holders.filter(({ request }) => !request.ready)) ?? youngest(holders);
    if (victim && holders.length > 1) this.preempt(victim);
    else for (const task of this.running) this.fail(task, error);
    this.forgetDropped();
  }

  /** Takes the cache away from a running request and lets it wait in front of all others of its priority. */
  private preempt(task: Task): void {
    this.pool.release(task.request.sequence);
    this.counts.preemptions++;
    this.stepAside(task);
  }

  /** Lets a running request wait in front of all others of its priority. */
  private stepAside(task: Task): void {
    this.running = this.running.filter((other) => other !== task);
    const before = this.waiting.findIndex((other) => priorityOf(other) <= priorityOf(task));
    this.waiting.splice(before < 0 ? this.waiting.length : before, 0, task);
  }

  /** One token of every sequence that decodes, and of the prompts what still fits, in equal parts. */
  private compose(): Step | undefined {
    const { maxBatchTokens, prefillChunk } = this.limits;
    const ready = this.inTurn();
    const decoding = ready.filter(({ request }) => request.sequence.pending === 1);
    const prefilling = ready.filter(({ request }) => request.sequence.pending > 1);
    const builder = new BatchBuilder();
    // Guesses need room that is certainly there.
    const roomy = this.pool.freeBlocks > 2 * this.running.length;
    const spare = Math.min(MOST_DECODED, maxBatchTokens - prefilling.length) - decoding.length;
    // As if all texts guessed as many.
    const texts = decoding.length;
    const cost = (drafts: number): number => this.costs.ratio(texts, texts * (1 + drafts));
    const shares = decoding.map((task) => {
      const most = roomy ? Math.floor(spare / decoding.length) : 0;
      const drafts = most > 0 ? (task.request.drafts?.(most, cost) ?? []) : [];
      return this.share(task, 1, builder, drafts);
    });
    let budget = maxBatchTokens - builder.size;
    if (decoding.length > 0) budget = Math.min(budget, prefillChunk);
    for (const [index, task] of prefilling.entries()) {
      const part = Math.ceil(budget / (prefilling.length - index));
      const count = Math.min(task.request.sequence.pending, part);
      if (count <= 0) break;
      const share = this.share(task, count, builder);
      budget -= share.count;
      if (share.count > 0) shares.push(share);
    }
    const [share] = shares;
    if (!share) return undefined;
    const batch = builder.build();
    if (shares.length === 1) this.guessNext(share, batch);
    return { batch, shares, decodesOnly: shares.length === decoding.length, cancelled: false };
  }

  /**
   * What can be computed. Where a step has less room than one token for each, those whose last one is longest ago, higher
   * priorities first: nobody starves behind texts that came before.
   */
  private inTurn(): Task[] {
    const { maxBatchTokens } = this.limits;
    const ready = this.running.filter(({ request }) => request.ready && request.sequence.pending > 0);
    if (ready.length <= maxBatchTokens) return ready;
    const order = (a: Task, b: Task): number =>
      priorityOf(b) - priorityOf(a) || a.request.sequence.lastUsed - b.request.sequence.lastUsed;
    return ready.sort(order).slice(0, maxBatchTokens);
  }

  /** Puts up to `most` pending tokens of a task into the batch. */
  private share(task: Task, most: number, builder: BatchBuilder, drafts: readonly number[] = []): Share {
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
    const guesses = count === most ? drafts : [];
    for (const [i, token] of guesses.entries()) {
      const query = task.request.query(sequence.tokens.length + i);
      queries.push(query);
      builder.add(token, native, query);
    }
    return { task, count, drafts: guesses, queries };
  }

  /** Lets the engine begin the next token of a text that is computed alone while this one is sampled and delivered. */
  private guessNext({ task, count, drafts, queries }: Share, batch: ForwardBatch): void {
    const { request } = task;
    if (drafts.length > 0 || queries.length !== 1 || count !== request.sequence.pending) return;
    const guess = request.ahead?.();
    if (!guess) return;
    batch.guess = guess.samplers;
    batch.guessEnds = guess.ends;
  }

  private hasRoomForLogits(builder: BatchBuilder): boolean {
    return (builder.outputs + 1) * this.limits.vocabularySize <= MOST_LOGITS;
  }

  private deliver(step: Step, result: ForwardResult): void {
    const reader = new ResultReader(this.context, result, this.limits.vocabularySize, step.batch);
    this.counts.steps++;
    if (step.decodesOnly) this.costs.note(step.batch.tokens.length, result.microseconds);
    this.counts.computedTokens += step.batch.tokens.length;
    for (const share of step.shares) this.deliverShare(share, reader);
    // Where the text is over, the pass that was begun behind it would run to its end; whoever has the text may keep its cache.
    if (step.batch.guess) {
      for (const { task } of step.shares) if (task.dropped) this.pool.forgetAhead(task.request.sequence);
    }
    this.forgetDropped();
  }

  private deliverShare({ task, count, drafts, queries }: Share, reader: ResultReader): void {
    const { request } = task;
    const { sequence } = request;
    // A sequence that was released meanwhile has no cache to count.
    const held = sequence.native !== undefined;
    if (held) sequence.computed += count;
    let accepted = 0;
    let wrong = false;
    for (const [i, query] of queries.entries()) {
      const output = reader.next(query);
      if (task.dropped || wrong) continue;
      task.nextOutput++;
      try {
        if (!request.receive(output)) this.drop(task);
      } catch (error) {
        this.fail(task, fromNative(error));
      }
      if (this.isOver(task)) continue;
      const tokens = request.replaced?.();
      if (tokens) {
        task.nextOutput = tokens.length - 1;
        this.pool.adopt(sequence, tokens, task.nextOutput);
        // What was guessed behind the old context is void.
        wrong = true;
        continue;
      }
      if (i >= drafts.length) continue;
      wrong = sequence.tokens[sequence.computed] !== drafts[i];
      if (wrong) continue;
      accepted++;
      sequence.computed++;
    }
    if (drafts.length === 0) return;
    if (held && accepted < drafts.length) this.pool.forgetAhead(sequence);
    this.counts.draftTokens += drafts.length;
    this.counts.acceptedDrafts += accepted;
    request.drafted?.(accepted, drafts.length);
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
    this.drop(task);
    task.request.fail(error);
  }

  private isOver(task: Task): boolean {
    return task.dropped;
  }

  /** The task is taken out of the lists later: many may be dropped at once. */
  private drop(task: Task): void {
    task.dropped = true;
    this.tasks.delete(task.request);
    this.stale = true;
  }

  private forgetDropped(): void {
    if (!this.stale) return;
    this.stale = false;
    this.waiting = this.waiting.filter(({ dropped }) => !dropped);
    this.running = this.running.filter(({ dropped }) => !dropped);
  }
}
