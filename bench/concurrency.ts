/**
 * Total decode speed of 1, 8 and 16 streams in turns (medians of three), the time between tokens while long prompts come
 * in, and what a prompt of 1,000 tokens costs when it comes again.
 *
 *   node -r @swc-node/register bench/concurrency.ts [model.gguf] [tokens]
 */
import { Model } from "../lib";

const [path, tokens = "64"] = process.argv.slice(2);
const maxTokens = Number(tokens);
const ROUNDS = 3;

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
}

/** Tokens per second of all streams together, from the first token of the last one on to the first end. */
async function decodeSpeed(model: Model, streams: number): Promise<number> {
  const times: number[][] = await Promise.all(
    Array.from({ length: streams }, async (_, seed) => {
      const seen: number[] = [];
      const options = { seed, maxTokens, ignoreEos: true, speculation: "off" } as const;
      for await (const chunk of model.stream(`Story ${seed}:`, options)) {
        seen.push(...chunk.tokens.map(() => performance.now()));
      }
      return seen;
    }),
  );
  const begin = Math.max(...times.map((seen) => seen[0] ?? 0));
  const end = Math.min(...times.map((seen) => seen.at(-1) ?? 0));
  const count = times.flat().filter((time) => time > begin && time <= end).length;
  return (count * 1000) / (end - begin);
}

/** Times between the tokens of short chats, in milliseconds and rising, while long prompts are read. */
async function gapsUnderLoad(model: Model): Promise<number[]> {
  const length = Math.min(model.info.contextLength - 8, 1500);
  const load = { over: false };
  const reading = (async () => {
    for (let round = 0; !load.over; round++) {
      const prompt = Array.from({ length }, (_, i) => 100 + ((i * 7 + round * 31) % 500));
      await model.generate(prompt, { maxTokens: 1, speculation: "off" });
    }
  })();
  const gaps: number[] = [];
  await Promise.all(
    Array.from({ length: 4 }, async (_, seed) => {
      let last = 0;
      const options = { seed, maxTokens: 2 * maxTokens, ignoreEos: true, speculation: "off" } as const;
      for await (const chunk of model.stream(`Chat ${seed}:`, options)) {
        const now = performance.now();
        if (last > 0) gaps.push((now - last) / Math.max(chunk.tokens.length, 1));
        last = now;
      }
    }),
  );
  load.over = true;
  await reading;
  return gaps.sort((a, b) => a - b);
}

/** Time to the first token behind a system prompt of 1,000 tokens: new, and again with another question behind it. */
async function repeatedPrompt(model: Model): Promise<{ first: number; again: number }> {
  const length = Math.min(1000, model.info.contextLength - 64);
  const times = { first: [] as number[], again: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const system = Array.from({ length }, (_, i) => 200 + ((i * 11 + round * 37) % 700));
    for (const kind of ["first", "again"] as const) {
      const question = [150 + round, kind === "first" ? 160 : 161, 170];
      const started = performance.now();
      await model.generate([...system, ...question], { maxTokens: 1, speculation: "off" });
      times[kind].push(performance.now() - started);
    }
  }
  return { first: median(times.first), again: median(times.again) };
}

async function main(): Promise<void> {
  await using model = await Model.load(path);
  console.log(`${model.info.path}: kernel ${model.info.kernel}, ${model.info.threads} threads`);
  await decodeSpeed(model, 1);
  const speeds = new Map<number, number[]>([1, 8, 16].map((streams) => [streams, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [streams, list] of speeds) list.push(await decodeSpeed(model, streams));
  }
  const one = median(speeds.get(1) ?? []);
  for (const [streams, list] of speeds) {
    const speed = median(list);
    console.log(
      `${String(streams).padStart(2)} streams: ${speed.toFixed(1)} tokens/s, ${(speed / one).toFixed(2)} x one`,
    );
  }
  const gaps = await gapsUnderLoad(model);
  const [middle = NaN, p99 = NaN] = [gaps[Math.floor(gaps.length / 2)], gaps[Math.floor(gaps.length * 0.99)]];
  console.log(
    `between tokens under mixed load: median ${middle.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ${(p99 / middle).toFixed(2)} x`,
  );
  const { first, again } = await repeatedPrompt(model);
  const share = `${((100 * again) / first).toFixed(1)} %`;
  console.log(`a prompt of 1,000 tokens: ${first.toFixed(0)} ms, ${again.toFixed(0)} ms when it comes again, ${share}`);
}

void main();
