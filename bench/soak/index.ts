/**
 * Mixed traffic on one model for minutes or hours: texts, streams left early, chats, vectors, schemas, aborts, timeouts,
 * and the model loaded anew. Checks that nothing is left behind and nothing drifts; exits with 1 where a check fails.
 *
 *   npm run soak -- --minutes 3 [--model file.gguf] [--streams 6] [--threads 2] [--pause 0] [--seed 1]
 *
 * `--pause` is how many milliseconds a stream waits between two requests: a soak beside other work.
 *
 * Checks: a canary prompt's tokens and scores never change by a bit; after each model all blocks of the KV cache are free;
 * memory does not grow (slope of the resident set over the second half); open files and handles end as they began; the
 * processor time that the canary takes does not drift (that of the clock would tell of other programs' work).
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Model } from "../../lib";
import { uniform } from "../../test/helpers/random";
import { median, slope, takeSample, type Sample } from "./monitor";
import { KINDS } from "./traffic";

/** Resident memory may grow by so many bytes an hour: what an allocator's fragments do to a short run. */
const GROWTH_PER_HOUR = 64 * 2 ** 20;
/** And by this in all, however short the run. */
const GROWTH = 24 * 2 ** 20;
/** The canary's median processor time in the last third over that in the first. */
const DRIFT = 1.6;
/** Rounds of traffic that one model serves before it is loaded anew. */
const ROUNDS_PER_MODEL = 12;
const REQUESTS_PER_ROUND = 24;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    model: { type: "string" },
    streams: { type: "string", default: "6" },
    threads: { type: "string" },
    pause: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    // Sanitizers keep freed memory for a while: then growth tells nothing.
    leaks: { type: "string", default: "on" },
  },
});

interface Findings {
  problems: string[];
  counts: Record<string, number>;
}

async function canary(model: Model): Promise<string> {
  const options = { maxTokens: 24, temperature: 0.8, seed: 11, logprobs: 3 } as const;
  const { tokens, text, logprobs } = await model.generate("Once upon a time there was a", options);
  const scores = await model.score("The king said to his ", "daughter");
  return createHash("sha256").update(JSON.stringify({ tokens, text, logprobs, scores })).digest("hex");
}

/** One round: requests of random kinds, some streams at a time. */
async function round(model: Model, random: () => number, found: Findings): Promise<void> {
  const names = Object.keys(KINDS);
  let left = REQUESTS_PER_ROUND;
  const stream = async (): Promise<void> => {
    while (left-- > 0) {
      const name = names[Math.floor(random() * names.length)] ?? "generate";
      found.counts[name] = (found.counts[name] ?? 0) + 1;
      await KINDS[name]?.({ model, random }).catch((error: unknown) => {
        found.problems.push(
          `${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      });
      if (Number(values.pause) > 0) await sleep(Number(values.pause));
    }
  };
  await Promise.all(Array.from({ length: Number(values.streams) }, stream));
}

/** Milliseconds that all threads of this process have computed. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** After the canary, whose pass makes the copies that forks left to be made. */
async function checkBlocks(model: Model, found: Findings): Promise<void> {
  model.clearPrefixCache();
  // A pass that was under way when its request was left ends by itself.
  for (let tries = 0; tries < 100 && model.stats().kvBlocks.free !== model.stats().kvBlocks.total; tries++)
    await sleep(20);
  const { kvBlocks, running, waiting } = model.stats();
  if (kvBlocks.free !== kvBlocks.total || running > 0 || waiting > 0) {
    found.problems.push(
      `${kvBlocks.total - kvBlocks.free} KV blocks, ${running} running and ${waiting} waiting requests are left`,
    );
  }
}

function checkGrowth(samples: readonly Sample[], found: Findings): string {
  const half = samples.slice(Math.floor(samples.length / 2));
  const perHour = slope(half.map(({ seconds, rss }) => [seconds, rss])) * 3600;
  const span = (half.at(-1)?.seconds ?? 0) - (half[0]?.seconds ?? 0);
  if (perHour > GROWTH_PER_HOUR && (perHour * span) / 3600 > GROWTH) {
    found.problems.push(`resident memory grows by ${Math.round(perHour / 2 ** 20)} MiB an hour`);
  }
  const [first, last] = [samples[0], samples.at(-1)];
  if (first && last && last.files > first.files + 2)
    found.problems.push(`${last.files - first.files} files were left open`);
  if (first && last && last.handles > first.handles + 2) {
    found.problems.push(`${last.handles - first.handles} handles were left`);
  }
  return `${Math.round((half.at(-1)?.rss ?? 0) / 2 ** 20)} MiB resident, ${Math.round(perHour / 2 ** 20)} MiB an hour`;
}

/** Ten of the samples, for a look at the slope. */
function printTable(samples: readonly Sample[]): void {
  const step = Math.max(1, Math.ceil(samples.length / 10));
  for (const [i, { seconds, rss, heap, files, handles }] of samples.entries()) {
    if (i % step > 0 && i < samples.length - 1) continue;
    const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.log(
      `${Math.round(seconds)} s: ${mib(rss)} resident, ${mib(heap)} heap, ${files} files, ${handles} handles`,
    );
  }
}

async function main(): Promise<void> {
  const started = performance.now();
  const end = started + Number(values.minutes) * 60_000;
  const random = uniform(Number(values.seed));
  const found: Findings = { problems: [], counts: {} };
  const samples: Sample[] = [];
  const times: number[] = [];
  let expected: string | undefined;
  let models = 0;
  const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
  while (performance.now() < end && found.problems.length < 5) {
    const model = await Model.load(values.model, { contextLength: 512, ...threads });
    models++;
    for (let i = 0; i < ROUNDS_PER_MODEL && performance.now() < end; i++) {
      await round(model, random, found);
      const before = processorTime();
      const now = await canary(model);
      times.push(processorTime() - before);
      await checkBlocks(model, found);
      expected ??= now;
      if (now !== expected) found.problems.push(`the canary changed after ${samples.length} rounds`);
    }
    await model.close();
    global.gc?.();
    samples.push(takeSample(started));
  }
  const third = Math.floor(times.length / 3);
  const drift = median(times.slice(-third)) / median(times.slice(0, third));
  if (values.leaks !== "off" && third >= 5 && drift > DRIFT)
    found.problems.push(`the canary takes ${drift.toFixed(2)} times as long as at first`);
  const growth = values.leaks === "off" ? "growth not looked at" : checkGrowth(samples, found);
  const requests = Object.values(found.counts).reduce((sum, count) => sum + count, 0);
  const list = Object.entries(found.counts).map(([name, count]) => `${name} ${count}`);
  console.log(`${requests} requests (${list.join(", ")}), ${models} models loaded, ${times.length} canaries`);
  console.log(`${growth}; canary's processor time in the last third over the first: ${drift.toFixed(2)}`);
  if (values.leaks !== "off") printTable(samples);
  for (const problem of found.problems) console.error(`FINDING ${problem}`);
  console.log(found.problems.length > 0 ? `${found.problems.length} findings` : "no findings");
  process.exitCode = found.problems.length > 0 ? 1 : 0;
}

void main();
