/**
 * Decoding with every core busy with another process of equal priority, by number of threads:
 *
 *   node -r @swc-node/register bench/contention.ts model.gguf [--rounds 3] [--tokens 32]
 *
 * Both numbers of threads take turns, quiet and busy. "busy" is to be no more than 20 % slower with all cores than with one.
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { Model } from "..";
import { loadAddon } from "../lib/addon";

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;

/** Runs `work` beside one endless loop a core. */
async function besideLoops<T>(cores: number, work: () => Promise<T>): Promise<T> {
  const loops = Array.from({ length: cores }, () =>
    spawn(process.execPath, ["-e", "for (;;) {}"], { stdio: "ignore" }),
  );
  try {
    await new Promise((resolve) => setTimeout(resolve, 500));
    return await work();
  } finally {
    for (const loop of loops) loop.kill("SIGKILL");
  }
}

async function decode(model: Model, tokens: number, seed: number): Promise<number> {
  let speed = 0;
  const prompt = Array.from({ length: 16 }, (_, i) => (i * 7919 + seed) % model.info.vocabularySize);
  for await (const { timings } of model.stream(prompt, { maxTokens: tokens, ignoreEos: true, seed })) {
    speed = timings?.decodeTokensPerSecond ?? speed;
  }
  return speed;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { rounds: { type: "string", default: "3" }, tokens: { type: "string", default: "32" } },
    allowPositionals: true,
  });
  const cores = loadAddon().cpu().usableCpus;
  const counts = [1, cores];
  const models: Model[] = [];
  for (const threads of counts)
    models.push(await Model.load(positionals[0], { threads, maxConcurrent: 1, contextLength: 512 }));
  const quiet = counts.map((): number[] => []);
  const busy = counts.map((): number[] => []);
  const tokens = Number(values.tokens);
  for (const model of models) await decode(model, tokens, 0);
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const [i, model] of models.entries()) quiet[i]?.push(await decode(model, tokens, round));
    await besideLoops(cores, async () => {
      for (const [i, model] of models.entries()) busy[i]?.push(await decode(model, tokens, round));
    });
  }
  const lines = counts.map((threads, i) => ({ threads, quiet: median(quiet[i] ?? []), busy: median(busy[i] ?? []) }));
  for (const model of models) await model.close();
  console.table(lines);
  console.log(`busy, ${cores} threads against 1: ${((lines[1]?.busy ?? NaN) / (lines[0]?.busy ?? NaN)).toFixed(2)}`);
}

void main();
