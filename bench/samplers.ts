/**
 * What a step of several texts takes with each sampler, above all where top-k does not narrow the vocabulary first:
 *
 *   node -r @swc-node/register bench/samplers.ts [model.gguf] [tokens] [streams] [names of configurations]
 *
 * A step is the time between the tokens of one text while all are under way. Beside it: how much of a step the event loop
 * was busy, which holds up everything else that the process does.
 */
import { performance } from "node:perf_hooks";
import { Model, type SamplingOptions } from "../lib";

const [path, tokens = "24", streams = "8", ...only] = process.argv.slice(2);

/** Nothing but the temperature. */
const OFF = { topK: 0, topP: 1, minP: 0 } as const;

const configurations: Record<string, SamplingOptions> = {
  defaults: {},
  "topK 0": { topK: 0 },
  topP: { ...OFF, topP: 0.95 },
  minP: { ...OFF, minP: 0.05 },
  temperature: OFF,
  typicalP: { ...OFF, typicalP: 0.9 },
  topNSigma: { ...OFF, topNSigma: 1 },
  xtc: { ...OFF, xtcProbability: 0.5 },
  dynamicTemperature: { ...OFF, dynamicTemperatureRange: 0.4 },
  mirostat: { mirostat: true },
  penalty: { ...OFF, topP: 0.95, repetitionPenalty: 1.1 },
};

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
}

async function measure(model: Model, name: string, options: SamplingOptions): Promise<void> {
  const gaps: number[] = [];
  let before = performance.eventLoopUtilization();
  let begun = 0;
  let busy = 0;
  await Promise.all(
    Array.from({ length: Number(streams) }, async (_, seed) => {
      let last = 0;
      const settings = { ...options, seed, maxTokens: Number(tokens), ignoreEos: true, speculation: "off" } as const;
      for await (const _chunk of model.stream(`Story ${seed}:`, settings)) {
        const now = performance.now();
        // The loop is watched from the time on at which all are under way.
        if (last === 0 && ++begun === Number(streams)) before = performance.eventLoopUtilization();
        else if (last > 0) gaps.push(now - last);
        busy = performance.eventLoopUtilization(before).utilization;
        last = now;
      }
    }),
  );
  const step = median(gaps);
  console.log(
    `${name.padEnd(20)} ${step.toFixed(1).padStart(7)} ms a step, event loop busy ${(100 * busy).toFixed(0).padStart(3)} %`,
  );
}

async function main(): Promise<void> {
  await using model = await Model.load(path, { contextLength: 512 });
  console.log(`${model.info.path}: kernel ${model.info.kernel}, ${model.info.threads} threads, ${streams} texts`);
  await measure(model, "(warming up)", {});
  for (const [name, options] of Object.entries(configurations)) {
    if (only.length === 0 || only.includes(name)) await measure(model, name, options);
  }
}

void main();
