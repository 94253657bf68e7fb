/**
 * Total decode speed of 1, 8 and 16 streams, and the time between tokens while long prompts come in.
 *
 *   node -r @swc-node/register bench/concurrency.ts [model.gguf] [tokens]
 */
import { Model } from "../lib";

const [path, tokens = "64"] = process.argv.slice(2);
const maxTokens = Number(tokens);

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

async function main(): Promise<void> {
  await using model = await Model.load(path);
  console.log(`${model.info.path}: kernel ${model.info.kernel}, ${model.info.threads} threads`);
  await decodeSpeed(model, 1);
  let one = 0;
  for (const streams of [1, 8, 16]) {
    const speed = await decodeSpeed(model, streams);
    if (streams === 1) one = speed;
    console.log(
      `${String(streams).padStart(2)} streams: ${speed.toFixed(1)} tokens/s, ${(speed / one).toFixed(2)} x one`,
    );
  }
  const gaps = await gapsUnderLoad(model);
  const [median = NaN, p99 = NaN] = [gaps[Math.floor(gaps.length / 2)], gaps[Math.floor(gaps.length * 0.99)]];
  console.log(
    `between tokens under mixed load: median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ${(p99 / median).toFixed(2)} x`,
  );
}

void main();
