import { QueueFullError } from "../../lib/errors";
import { BLOCK_POSITIONS } from "../../lib/engine/blocks";
import { PrefixCache } from "../../lib/engine/prefix_cache";
import type { Output, Query, Request } from "../../lib/engine/request";
import { Scheduler } from "../../lib/engine/scheduler";
import type { SchedulerLimits } from "../../lib/engine/scheduler_types";
import { Sequence } from "../../lib/engine/sequence";
import { Random } from "../../lib/sampling";
import { FakeContext, toyContinuation, toyLogits } from "./fake-addon";

const VOCABULARY = 40;
jest.setTimeout(30_000);

function promptOf(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + seed * 13 + ((i * seed) % 5)) % VOCABULARY);
}

function setUp(limits: Partial<SchedulerLimits> = {}, context = new FakeContext()): [FakeContext, Scheduler] {
  const all = { vocabularySize: VOCABULARY, maxBatchTokens: 64, prefillChunk: 16, maxConcurrent: 8, ...limits };
  return [context, new Scheduler(context, { cacheBlocks: 1e9, ...all })];
}

/** Continues a prompt greedily; guesses what `guess` says. */
class Text implements Request {
  readonly firstOutput: number;
  readonly ready = true;
  readonly sequence = new Sequence();
  readonly generated: number[] = [];
  cached = -1;
  right = 0;
  readonly done: Promise<number[]>;
  private resolve!: (tokens: number[]) => void;
  fail!: (error: Error) => void;

  constructor(
    private readonly scheduler: Scheduler,
    readonly prompt: readonly number[],
    private readonly count: number,
    private readonly guess: (tokens: readonly number[], most: number) => number[] = () => [],
    readonly priority = 0,
  ) {
    this.firstOutput = prompt.length - 1;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.fail = reject;
    });
    this.done.catch(() => undefined);
    scheduler.submit(this);
  }

  begin(cached: number): void {
    this.cached = cached;
  }

  query(): Query {
    return { want: 1, candidates: 1, temperature: 1, logSumExp: false };
  }

  drafts(most: number): number[] {
    const left = this.count - this.generated.length - 1;
    return this.guess(this.sequence.tokens, Math.min(most, left)).slice(0, Math.max(Math.min(most, left), 0));
  }

  drafted(accepted: number): void {
    this.right += accepted;
  }

  receive({ candidateIds }: Output): boolean {
    this.generated.push(candidateIds[0]!);
    if (this.generated.length === this.count) {
      setImmediate(() => {
        this.scheduler.release(this.sequence);
        this.resolve(this.generated);
      });
      return false;
    }
    this.sequence.tokens.push(candidateIds[0]!);
    return true;
  }
}

describe("PrefixCache", () => {
  test("finds what a plain search over all texts finds, and never more than it may hold", () => {
    const random = new Random(1);
    for (let round = 0; round < 30; round++) {
      const context = new FakeContext(1000);
      const most = 1 + (random.nextUint32() % 12);
      const cache = new PrefixCache(context, most);
      for (let step = 0; step < 60; step++) {
        // Few different tokens and cuts, so that texts share beginnings of all lengths.
        const tokens = Array.from({ length: random.nextUint32() % 200 }, (_, i) =>
          Math.floor(i / 40) === random.nextUint32() % 9 ? 1 : 0,
        );
        const match = cache.match(tokens, tokens.length);
        if (match) {
          // What is found really begins that way.
          const fork = context.forkSequence(match.native, match.length);
          expect(context.tokensOf(fork)).toEqual(tokens.slice(0, match.length));
          context.releaseSequence(fork);
        }
        const native = context.createSequence();
        context.tokensOf(native).push(...tokens);
        cache.retain(native, tokens);
        expect(cache.blocks).toBeLessThanOrEqual(most);
        const held = Math.min(Math.floor(tokens.length / BLOCK_POSITIONS), most) * BLOCK_POSITIONS;
        expect(cache.match(tokens, tokens.length)?.length ?? 0).toBeGreaterThanOrEqual(held);
      }
      cache.clear();
      expect([cache.blocks, context.sequenceCount]).toEqual([0, 0]);
    }
  });

  test("drops the end of what was unused for longest first", () => {
    const context = new FakeContext(1000);
    const cache = new PrefixCache(context, 6);
    const add = (tokens: number[]): void => {
      const native = context.createSequence();
      context.tokensOf(native).push(...tokens);
      cache.retain(native, tokens);
    };
    const [a, b] = [promptOf(96, 1), promptOf(96, 2)];
    add(a);
    add(b);
    expect(cache.match(a, 96)?.length).toBe(96);
    add(promptOf(32, 3));
    expect(cache.match(b, 96)?.length).toBe(64);
    expect(cache.match(a, 96)?.length).toBe(96);
  });
});

describe("texts that begin the same way", () => {
  test("are computed once, and say the same", async () => {
    const [context, scheduler] = setUp();
    const system = promptOf(200);
    for (const [i, length] of [5, 30, 50, 1].entries()) {
      const prompt = [...system, ...promptOf(length, i + 2)];
      const text = new Text(scheduler, prompt, 20);
      expect(await text.done).toEqual(toyContinuation(prompt, 20, VOCABULARY));
      if (i === 0) expect(text.cached).toBe(0);
      else expect(text.cached).toBeGreaterThanOrEqual(200);
    }
    const { cachedTokens, promptTokens, cacheHits, kvBlocks } = scheduler.stats;
    expect(cacheHits).toBe(3);
    expect(cachedTokens).toBeGreaterThanOrEqual(600);
    expect(promptTokens).toBe(800 + 86);
    expect(kvBlocks.cached).toBeGreaterThan(6);
    scheduler.clearCache();
    expect(context.freeBlocks).toBe(context.totalBlocks);
    expect(context.sequenceCount).toBe(0);
  });

  test("share with one that is still running", async () => {
    const [, scheduler] = setUp();
    const prompt = promptOf(100);
    const first = new Text(scheduler, prompt, 40);
    while (first.generated.length < 3) await new Promise(setImmediate);
    const second = new Text(scheduler, prompt, 30);
    expect(await second.done).toEqual(toyContinuation(prompt, 30, VOCABULARY));
    expect(second.cached).toBe(99);
    expect(await first.done).toEqual(toyContinuation(prompt, 40, VOCABULARY));
  });

  test("say the same in a pool that is much too small, whatever comes when", async () => {
    const random = new Random(7);
    for (let round = 0; round < 8; round++) {
      const context = new FakeContext(8 + (random.nextUint32() % 8));
      const [, scheduler] = setUp({ maxConcurrent: 3, cacheBlocks: random.nextUint32() % 3 === 0 ? 2 : 100 }, context);
      const guess = (tokens: readonly number[], most: number): number[] =>
        // Right, wrong from somewhere on, or nothing.
        toyContinuation([...tokens], most, VOCABULARY).map((token, i) => (i < random.nextUint32() % 5 ? token : 0));
      const texts: Text[] = [];
      for (let i = 0; i < 12; i++) {
        const prompt = [
          ...promptOf(32 * (random.nextUint32() % 3)),
          ...promptOf(1 + (random.nextUint32() % 60), i % 4),
        ];
        const drafting = random.nextUint32() % 2 === 0 ? guess : undefined;
        texts.push(new Text(scheduler, prompt, 1 + (random.nextUint32() % 90), drafting, random.nextUint32() % 3));
        for (let wait = random.nextUint32() % 20; wait > 0; wait--) await new Promise(setImmediate);
      }
      for (const text of texts) {
        expect(await text.done).toEqual(toyContinuation(text.prompt, text.generated.length, VOCABULARY));
      }
      scheduler.clearCache();
      expect([context.freeBlocks, context.sequenceCount]).toEqual([context.totalBlocks, 0]);
    }
  });
});

describe("guesses", () => {
  test("that are right save steps, wrong ones change nothing", async () => {
    for (const right of [8, 3, 0]) {
      const [context, scheduler] = setUp();
      const prompt = promptOf(20);
      const text = new Text(scheduler, prompt, 60, (tokens, most) =>
        toyContinuation([...tokens], most, VOCABULARY).map((token, i) =>
          i < right ? token : (token + 1) % VOCABULARY,
        ),
      );
      expect(await text.done).toEqual(toyContinuation(prompt, 60, VOCABULARY));
      const { steps, acceptedDrafts, draftTokens } = scheduler.stats;
      expect(text.right).toBe(acceptedDrafts);
      if (right === 0) expect([steps, acceptedDrafts]).toEqual([60, 0]);
      else expect(steps).toBeLessThan(60 / right + 2);
      expect(draftTokens).toBeGreaterThanOrEqual(acceptedDrafts);
      scheduler.clearCache();
      expect(context.freeBlocks).toBe(context.totalBlocks);
    }
  });
});

describe("the queue", () => {
  test("refuses what is too much, and serves the rest", async () => {
    const [, scheduler] = setUp({ maxConcurrent: 2, maxQueue: 3 });
    const texts = [1, 2, 3, 4, 5].map((seed) => new Text(scheduler, promptOf(4, seed), 3));
    expect(() => new Text(scheduler, promptOf(4), 3)).toThrow(QueueFullError);
    await Promise.all(texts.map(({ done }) => done));
    await expect(new Text(scheduler, promptOf(4), 3).done).resolves.toHaveLength(3);
  });

  test("serves higher priorities first, equal ones in order of arrival", async () => {
    const [, scheduler] = setUp({ maxConcurrent: 1 });
    const order: number[] = [];
    const priorities = [0, -5, 3, 0, 3];
    await Promise.all(
      priorities.map(async (priority, i) => {
        await new Text(scheduler, promptOf(4, i + 1), 3, undefined, priority).done;
        order.push(i);
      }),
    );
    expect(order).toEqual([2, 4, 0, 3, 1]);
  });
});

test("toy logits depend on every token", () => {
  expect(toyLogits([1, 2, 3], 8)).not.toEqual(toyLogits([1, 1, 3], 8));
});
