/**
 * Results never depend on what else runs: random arrivals, aborts, priorities, forms and samplers on a pool that is much too
 * small, against the same requests each alone.
 */
import { join } from "node:path";
import { AbortError, Model, type Chunk, type GenerationOptions, type TokenLogprobs } from "../../lib";
import { Random } from "../../lib/sampling";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

jest.setTimeout(120_000);

const folder = temporaryFolder();
const path = join(folder, "tiny.gguf");
beforeAll(() => writeTinyModel(path, { context: 192 }));

interface Job {
  prompt: number[];
  options: GenerationOptions;
  /** Turns of the event loop before it comes. */
  delay: number;
  /** Chunks after which its reader leaves, or its signal is aborted. */
  leaveAfter?: number;
  abortAfter?: number;
}

const SAMPLERS: readonly GenerationOptions[] = [
  { temperature: 0 },
  { temperature: 1.3, topK: 0, topP: 1, minP: 0 },
  { temperature: 0.8, repetitionPenalty: 1.3, dryMultiplier: 0.8 },
  { temperature: 1, typicalP: 0.7, logprobs: 3 },
  { mirostat: true, logprobs: 1 },
  { temperature: 1.5, xtcProbability: 0.5, xtcThreshold: 0.05 },
  { temperature: 1, format: { type: "regex", pattern: "([a-z]{3,9} ){4,30}" } },
  { temperature: 0, speculation: "prompt-lookup", stop: ["zz"] },
  { temperature: 0.9, overflow: "slide" },
];

function makeJobs(random: Random, count: number): Job[] {
  const below = (most: number): number => random.nextUint32() % most;
  const shared = Array.from({ length: 120 }, () => below(256));
  return Array.from({ length: count }, (_, i) => {
    // Some begin the same way.
    const start = below(3) === 0 ? shared.slice(0, 1 + below(120)) : [];
    const prompt = [...start, ...Array.from({ length: 1 + below(60) }, () => below(256))];
    const fate = below(5);
    return {
      prompt,
      options: {
        ...SAMPLERS[i % SAMPLERS.length]!,
        seed: below(1e6),
        maxTokens: 1 + below(90),
        ignoreEos: true,
        priority: below(4),
      },
      delay: below(60),
      ...(fate === 0 ? { leaveAfter: below(12) } : {}),
      ...(fate === 1 ? { abortAfter: below(12) } : {}),
    };
  });
}

interface Outcome {
  tokens: number[];
  text: string;
  logprobs: TokenLogprobs[];
  finishReason: string | undefined;
}

async function read(model: Model, { prompt, options, leaveAfter, abortAfter }: Job): Promise<Outcome> {
  const outcome: Outcome = { tokens: [], text: "", logprobs: [], finishReason: undefined };
  const controller = new AbortController();
  const take = ({ tokens, text, logprobs = [], finishReason }: Chunk): void => {
    outcome.tokens.push(...tokens);
    outcome.text += text;
    outcome.logprobs.push(...logprobs);
    outcome.finishReason = finishReason;
  };
  let chunks = 0;
  try {
    for await (const chunk of model.stream(prompt, { ...options, signal: controller.signal })) {
      take(chunk);
      if (chunks === leaveAfter) break;
      if (chunks++ === abortAfter) controller.abort();
    }
  } catch (error) {
    if (!(error instanceof AbortError)) throw error;
  }
  return outcome;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

const ROUNDS = Number(process.env.BITNET_INTERLEAVINGS ?? 3);

test(`${ROUNDS} random interleavings, each text as alone`, async () => {
  await using alone = await Model.load(path, { prefixCache: false, maxConcurrent: 1, threads: 1 });
  let preemptions = 0;
  let whole = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const random = new Random(100 + round);
    // Four contexts of blocks for up to 24 texts; steps of few tokens, so that prompts come in many chunks.
    await using together = await Model.load(path, {
      ...{ maxConcurrent: 24, maxBatchTokens: 40, prefillChunk: 7, threads: 2 },
      prefixCache: round % 3 !== 2,
    });
    const jobs = makeJobs(random, 60);
    const outcomes = await Promise.all(
      jobs.map(async (job) => {
        // All at once in the first round, which the pool cannot hold, however fast the machine.
        await turns(round === 0 ? 0 : job.delay);
        return read(together, job);
      }),
    );
    for (const [i, outcome] of outcomes.entries()) {
      const { prompt, options } = jobs[i]!;
      const expected = await read(alone, { prompt, options, delay: 0 });
      if (outcome.finishReason !== undefined) {
        expect([round, i, outcome]).toEqual([round, i, expected]);
        whole++;
        continue;
      }
      // Given up: as far as it came.
      const { length } = outcome.tokens;
      expect([round, i, outcome.tokens]).toEqual([round, i, expected.tokens.slice(0, length)]);
      expect(outcome.logprobs).toEqual(expected.logprobs.slice(0, outcome.logprobs.length));
    }
    preemptions += together.stats().preemptions;
    together.clearPrefixCache();
    const { running, waiting, kvBlocks } = together.stats();
    expect({ running, waiting, free: kvBlocks.free }).toEqual({ running: 0, waiting: 0, free: kvBlocks.total });
  }
  // The pool was too small indeed, and most texts came to their end.
  expect(preemptions).toBeGreaterThan(0);
  expect(whole).toBeGreaterThan(ROUNDS * 25);
});
