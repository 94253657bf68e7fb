import { AbortError, BitnetError, KvCacheFullError } from "../../lib/errors";
import { collect } from "../../lib/engine/collect";
import type { Output, Query, Request } from "../../lib/engine/request";
import { Scheduler } from "../../lib/engine/scheduler";
import type { SchedulerLimits } from "../../lib/engine/scheduler_types";
import { Sequence } from "../../lib/engine/sequence";
import { FakeContext, toyContinuation, toyLogits } from "./fake-addon";

const VOCABULARY = 40;

function setUp(limits: Partial<SchedulerLimits> = {}, context = new FakeContext()): [FakeContext, Scheduler] {
  const all = { vocabularySize: VOCABULARY, maxBatchTokens: 64, prefillChunk: 16, maxConcurrent: 8, ...limits };
  return [context, new Scheduler(context, all)];
}

function promptOf(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + seed * 13) % VOCABULARY);
}

/** Continues a prompt greedily by a number of tokens. */
class Greedy implements Request {
  readonly firstOutput: number;
  readonly generated: number[] = [];
  cached = -1;
  paused = false;
  readonly done: Promise<number[]>;
  onToken: () => void = () => undefined;
  private resolve!: (tokens: number[]) => void;
  fail!: (error: Error) => void;

  constructor(
    private readonly scheduler: Scheduler,
    readonly prompt: readonly number[],
    private readonly count: number,
    readonly sequence = new Sequence(),
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

  get ready(): boolean {
    return !this.paused;
  }

  begin(cached: number): void {
    this.cached = cached;
  }

  query(): Query {
    return { want: 1, candidates: 2, temperature: 1 };
  }

  receive({ candidateIds }: Output): boolean {
    expect(candidateIds).toHaveLength(2);
    this.generated.push(candidateIds[0]!);
    this.onToken();
    if (this.generated.length === this.count) {
      this.scheduler.release(this.sequence);
      this.resolve(this.generated);
      return false;
    }
    this.sequence.tokens.push(candidateIds[0]!);
    return true;
  }
}

describe("continuous batching", () => {
  test("gives every text what it would say alone, whatever the company", async () => {
    const [context, scheduler] = setUp();
    const prompts = [promptOf(3), promptOf(150, 2), promptOf(1, 3), promptOf(40, 4)];
    const requests = prompts.map((prompt) => new Greedy(scheduler, prompt, 20));
    const texts = await Promise.all(requests.map(({ done }) => done));
    expect(texts).toEqual(prompts.map((prompt) => toyContinuation(prompt, 20, VOCABULARY)));
    expect(context.batches.some(({ sequences }) => new Set(sequences).size === 4)).toBe(true);
    expect(context.sequenceCount).toBe(0);
  });

  test("reads a long prompt in chunks while another text keeps flowing", async () => {
    const [context, scheduler] = setUp();
    const first = new Greedy(scheduler, promptOf(4), 30);
    first.onToken = () => {
      first.onToken = () => undefined;
      second = new Greedy(scheduler, promptOf(100, 2), 2);
    };
    let second: Greedy | undefined;
    await first.done;
    await second?.done;
    const mixed = context.batches.filter(({ sequences }) => new Set(sequences).size === 2 && sequences.length > 2);
    expect(mixed.length).toBeGreaterThanOrEqual(6); // 100 tokens, at most 16 a step
    for (const { tokens } of mixed) expect(tokens.length).toBeLessThanOrEqual(17);
  });

  test("shares a step among prompts in equal parts", async () => {
    const [context, scheduler] = setUp();
    const requests = [1, 2, 3, 4].map((seed) => new Greedy(scheduler, promptOf(100, seed), 1));
    await Promise.all(requests.map(({ done }) => done));
    const counts = new Map<number, number>();
    for (const sequence of context.batches[0]!.sequences) counts.set(sequence, (counts.get(sequence) ?? 0) + 1);
    expect([...counts.values()]).toEqual([16, 16, 16, 16]);
  });

  test("computes at most maxConcurrent texts at a time, in order of arrival", async () => {
    const [context, scheduler] = setUp({ maxConcurrent: 2 });
    const finished: number[] = [];
    const requests = [1, 2, 3, 4, 5].map((seed) => new Greedy(scheduler, promptOf(3, seed), 5));
    await Promise.all(requests.map(async ({ done }, i) => done.then(() => finished.push(i))));
    for (const { sequences } of context.batches) expect(new Set(sequences).size).toBeLessThanOrEqual(2);
    expect(finished).toEqual([0, 1, 2, 3, 4]);
  });

  test("takes requests that were submitted in the same turn into one step", async () => {
    const [context, scheduler] = setUp();
    const requests = [new Greedy(scheduler, promptOf(3), 1), new Greedy(scheduler, promptOf(5, 2), 1)];
    await Promise.all(requests.map(({ done }) => done));
    expect(context.batches).toHaveLength(1);
  });
});

describe("steps with less room than there are texts", () => {
  test("go round: nobody waits for another's end", async () => {
    const [context, scheduler] = setUp({ maxBatchTokens: 2, prefillChunk: 2 });
    const prompts = [1, 2, 3, 4, 5].map((seed) => promptOf(seed, seed));
    const texts = prompts.map((prompt) => new Greedy(scheduler, prompt, 20));
    const least: number[] = [];
    for (const text of texts) {
      void text.done.then(() => least.push(Math.min(...texts.map(({ generated }) => generated.length))));
    }
    const said = await Promise.all(texts.map(({ done }) => done));
    expect(said).toEqual(prompts.map((prompt) => toyContinuation(prompt, 20, VOCABULARY)));
    // When the first is over, the last is nearly so.
    expect(least[0]).toBeGreaterThan(12);
    for (const { tokens } of context.batches) expect(tokens.length).toBeLessThanOrEqual(2);
  });

  test("read a prompt while as many texts flow as a step takes", async () => {
    const [, scheduler] = setUp({ maxBatchTokens: 2, prefillChunk: 2 });
    const flowing = [1, 2].map((seed) => new Greedy(scheduler, promptOf(3, seed), 200));
    await new Promise<void>((resolve) => (flowing[0]!.onToken = resolve));
    const late = new Greedy(scheduler, promptOf(30, 3), 1);
    await late.done;
    for (const { generated } of flowing) expect(generated.length).toBeLessThan(200);
  });
});

describe("higher priority", () => {
  test("takes the place of a text that matters less, which goes on later with its cache", async () => {
    const [context, scheduler] = setUp({ maxConcurrent: 1 });
    const low = new Greedy(scheduler, promptOf(40), 30);
    await new Promise<void>((resolve) => (low.onToken = resolve));
    const high = new Greedy(scheduler, promptOf(5, 2), 10, new Sequence(), 1);
    await high.done;
    expect(low.generated.length).toBeLessThan(10);
    expect(await low.done).toEqual(toyContinuation(promptOf(40), 30, VOCABULARY));
    expect(scheduler.stats).toMatchObject({ preemptions: 0, computedTokens: 40 + 29 + 5 + 9 });
    for (const { sequences } of context.batches) expect(new Set(sequences).size).toBe(1);
  });

  test("takes the cache of texts that matter less where there is no other room", async () => {
    const [context, scheduler] = setUp({}, new FakeContext(4));
    const low = new Greedy(scheduler, promptOf(70), 20);
    await new Promise<void>((resolve) => (low.onToken = resolve));
    const high = new Greedy(scheduler, promptOf(70, 2), 5, new Sequence(), 1);
    await high.done;
    expect(low.generated.length).toBeLessThan(20);
    expect(await low.done).toEqual(toyContinuation(promptOf(70), 20, VOCABULARY));
    expect(scheduler.stats.preemptions).toBe(1);
    expect(context.freeBlocks).toBe(4);
  });
});

describe("a full cache", () => {
  test("makes the youngest give way and recomputes it, with the same text", async () => {
    // Room for six blocks; three texts of 20 + 100 tokens need twelve.
    const [context, scheduler] = setUp({}, new FakeContext(6));
    const prompts = [promptOf(20), promptOf(20, 2), promptOf(20, 3)];
    const requests = prompts.map((prompt) => new Greedy(scheduler, prompt, 100));
    const texts = await Promise.all(requests.map(({ done }) => done));
    expect(texts).toEqual(prompts.map((prompt) => toyContinuation(prompt, 100, VOCABULARY)));
    expect(context.freeBlocks).toBe(6);
    const fed = context.batches.reduce((total, { tokens }) => total + tokens.length, 0);
    expect(fed).toBeGreaterThan(3 * 119); // Something was computed twice.
  });

  test("takes the cache of idle sequences first", async () => {
    const [, scheduler] = setUp({}, new FakeContext(4));
    const kept = new Sequence();
    const idle = new Greedy(scheduler, promptOf(90), 2, kept);
    // As a chat session does: the sequence is not released when the answer is complete.
    jest.spyOn(scheduler, "release").mockImplementationOnce(() => undefined);
    await idle.done;
    expect(kept.native).toBeDefined();
    const other = new Greedy(scheduler, promptOf(60, 2), 10);
    expect(await other.done).toEqual(toyContinuation(promptOf(60, 2), 10, VOCABULARY));
    expect(kept.native).toBeUndefined();
  });

  test("takes the cache of readers that stopped reading", async () => {
    const [, scheduler] = setUp({}, new FakeContext(4));
    const paused = new Greedy(scheduler, promptOf(90), 8);
    paused.onToken = () => (paused.paused = paused.generated.length === 3);
    const other = new Greedy(scheduler, promptOf(100, 2), 10);
    expect(await other.done).toEqual(toyContinuation(promptOf(100, 2), 10, VOCABULARY));
    expect(paused.generated).toHaveLength(3);
    paused.paused = false;
    scheduler.wake();
    expect(await paused.done).toEqual(toyContinuation(promptOf(90), 8, VOCABULARY));
  });

  test("fails a text that is alone and still does not fit", async () => {
    const [, scheduler] = setUp({}, new FakeContext(1));
    const request = new Greedy(scheduler, promptOf(20), 40);
    await expect(request.done).rejects.toBeInstanceOf(KvCacheFullError);
  });
});

describe("the cache of a sequence", () => {
  test("is kept as far as the next prompt has the same tokens", async () => {
    const [context, scheduler] = setUp();
    const sequence = new Sequence();
    const first = new Greedy(scheduler, promptOf(50), 5, sequence);
    jest.spyOn(scheduler, "release").mockImplementation(() => undefined);
    await first.done;
    expect(first.cached).toBe(0);
    const prompt = [...promptOf(50), ...first.generated.slice(0, 3), 1, 2, 3];
    const before = context.batches.length;
    const second = new Greedy(scheduler, prompt, 5, sequence);
    expect(await second.done).toEqual(toyContinuation(prompt, 5, VOCABULARY));
    expect(second.cached).toBeGreaterThanOrEqual(53);
    expect(context.batches[before]!.tokens.length).toBe(prompt.length - second.cached);
  });

  test("leaves one token to compute when the whole prompt is there", async () => {
    const [, scheduler] = setUp();
    const sequence = new Sequence();
    jest.spyOn(scheduler, "release").mockImplementation(() => undefined);
    await new Greedy(scheduler, promptOf(50), 5, sequence).done;
    const again = new Greedy(scheduler, promptOf(50), 5, sequence);
    expect(await again.done).toEqual(toyContinuation(promptOf(50), 5, VOCABULARY));
    expect(again.cached).toBe(49);
  });
});

describe("cancelling", () => {
  test("stops the step when nobody waits for it", async () => {
    const [context, scheduler] = setUp();
    context.held = true;
    const request = new Greedy(scheduler, promptOf(10), 5);
    await context.forwardRunning();
    scheduler.cancel(request);
    scheduler.release(request.sequence);
    expect(context.cancels).toBe(1);
    context.held = false;
    // The scheduler goes on with others.
    expect(await new Greedy(scheduler, promptOf(10, 2), 5).done).toEqual(
      toyContinuation(promptOf(10, 2), 5, VOCABULARY),
    );
    expect(request.generated).toEqual([]);
    expect(context.sequenceCount).toBe(0);
  });

  test("lets the step go on for the others", async () => {
    const [context, scheduler] = setUp();
    context.held = true;
    const left = new Greedy(scheduler, promptOf(10), 5);
    const other = new Greedy(scheduler, promptOf(12, 2), 5);
    await context.forwardRunning();
    scheduler.cancel(left);
    scheduler.release(left.sequence);
    expect(context.cancels).toBe(0);
    context.held = false;
    context.finish();
    expect(await other.done).toEqual(toyContinuation(promptOf(12, 2), 5, VOCABULARY));
    expect(left.generated).toEqual([]);
  });

  test("computes again what an abort of the addon took along", async () => {
    const [context, scheduler] = setUp();
    context.failures.push("ERR_ABORTED");
    expect(await new Greedy(scheduler, promptOf(10), 5).done).toEqual(toyContinuation(promptOf(10), 5, VOCABULARY));
  });

  test("does not retry for ever", async () => {
    const [context, scheduler] = setUp();
    context.failures.push(...Array<string>(50).fill("ERR_ABORTED"));
    await expect(new Greedy(scheduler, promptOf(10), 5).done).rejects.toBeInstanceOf(AbortError);
  });

  test("keeps a sequence usable whose step was stopped", async () => {
    const [context, scheduler] = setUp();
    context.held = true;
    const sequence = new Sequence();
    const request = new Greedy(scheduler, promptOf(10), 5, sequence);
    await context.forwardRunning();
    scheduler.cancel(request);
    context.held = false;
    const again = new Greedy(scheduler, promptOf(30), 5, sequence);
    expect(await again.done).toEqual(toyContinuation(promptOf(30), 5, VOCABULARY));
  });
});

describe("faults", () => {
  test("an error of the addon fails everyone, and later requests are served again", async () => {
    const [context, scheduler] = setUp();
    context.failures.push("ERR_KERNEL");
    const requests = [new Greedy(scheduler, promptOf(5), 3), new Greedy(scheduler, promptOf(6), 3)];
    for (const { done } of requests) await expect(done).rejects.toMatchObject({ code: "ERR_KERNEL" });
    await expect(new Greedy(scheduler, promptOf(5), 3).done).resolves.toHaveLength(3);
  });

  test("an error in one request's own code fails only that one", async () => {
    const [, scheduler] = setUp();
    const bad = new Greedy(scheduler, promptOf(5), 3);
    bad.onToken = () => {
      throw new BitnetError("no token pleases");
    };
    const good = new Greedy(scheduler, promptOf(6), 3);
    await expect(bad.done).rejects.toThrow("no token pleases");
    await expect(good.done).resolves.toEqual(toyContinuation(promptOf(6), 3, VOCABULARY));
  });

  test("stop rejects what runs and what waits, and ends the step", async () => {
    const [context, scheduler] = setUp({ maxConcurrent: 1 });
    context.held = true;
    const requests = [new Greedy(scheduler, promptOf(5), 3), new Greedy(scheduler, promptOf(6), 3)];
    await context.forwardRunning();
    await scheduler.stop(new AbortError("closed"));
    for (const { done } of requests) await expect(done).rejects.toThrow("closed");
    expect(context.cancels).toBe(1);
    expect(() => new Greedy(scheduler, promptOf(5), 3)).toThrow("closed");
  });
});

describe("readers that are behind", () => {
  test("take no part in steps until they are ready again", async () => {
    const [context, scheduler] = setUp();
    const slow = new Greedy(scheduler, promptOf(5), 6);
    slow.onToken = () => (slow.paused = slow.generated.length === 2);
    const fast = new Greedy(scheduler, promptOf(6), 12);
    await fast.done;
    expect(slow.generated).toHaveLength(2);
    const { length } = context.batches;
    slow.paused = false;
    scheduler.wake();
    expect(await slow.done).toEqual(toyContinuation(promptOf(5), 6, VOCABULARY));
    expect(context.batches.length).toBe(length + 4);
  });
});

describe("collect", () => {
  const query: Query = { want: 2, candidates: 1, temperature: 1 };

  test("hands out every position once and in order, also when it had to give way", async () => {
    const [context, scheduler] = setUp({}, new FakeContext(5));
    const tokens = promptOf(128);
    const rows: Float32Array[] = [];
    const older = new Greedy(scheduler, promptOf(10, 2), 60);
    await collect(scheduler, tokens, {
      what: "test",
      signal: undefined,
      query: () => query,
      onOutput: (position, output) => {
        expect(position).toBe(rows.length);
        rows.push(output.allLogits().slice());
      },
    });
    await older.done;
    expect(rows).toEqual(tokens.map((_, i) => toyLogits(tokens.slice(0, i + 1), VOCABULARY)));
    expect(context.sequenceCount).toBe(0);
  });

  test("rejects at once when aborted, before and during", async () => {
    const [context, scheduler] = setUp();
    context.held = true;
    const controller = new AbortController();
    const options = { what: "test", signal: controller.signal, query: () => query, onOutput: () => undefined };
    const running = collect(scheduler, promptOf(10), options);
    await context.forwardRunning();
    controller.abort(new Error("enough"));
    await expect(running).rejects.toMatchObject({
      name: "AbortError",
      code: "ERR_ABORTED",
      cause: new Error("enough"),
    });
    expect(() => collect(scheduler, promptOf(10), options)).toThrow(AbortError);
    expect(context.sequenceCount).toBe(0);
  });
});
