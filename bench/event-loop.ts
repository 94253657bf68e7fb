/**
 * How long the event loop is held up while a model loads and while it generates:
 * `node -r @swc-node/register bench/event-loop.ts [--streams N] [FILE.gguf]`
 *
 * A timer is due every millisecond; the figures are how much later than that it came. Run it on the built package for
 * figures that count: the compiler that runs this file from its source is not part of the measurement, because
 * everything is imported before it begins.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Model } from "../lib";
import { loadAddon } from "../lib/addon";

const RESOLUTION_MS = 1;

/** Delay of the event loop while `work` runs, in milliseconds. */
async function measure<T>(what: string, work: () => Promise<T>): Promise<T> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const started = performance.now();
  const result = await work();
  const elapsed = performance.now() - started;
  // What happened in the last turn is counted when the timer comes.
  await sleep(5);
  histogram.disable();
  // The histogram has the time between two timers; what is beyond their distance is delay.
  const delay = (nanoseconds: number): string =>
    Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
      .toFixed(2)
      .padStart(8);
  const { count } = histogram;
  console.log(
    `${what.padEnd(22)} p50 ${delay(histogram.percentile(50))}  p99 ${delay(histogram.percentile(99))}  ` +
      `max ${delay(histogram.max)} ms  (${count} samples in ${elapsed.toFixed(0)} ms)`,
  );
  return result;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { streams: { type: "string", default: "1" } },
  });
  const streams = Number(values.streams);
  loadAddon();
  await measure("idle, for comparison", () => sleep(1000));
  const model = await measure("loading", () => Model.load(positionals[0]));
  const prompt = "Once upon a time there was a king. ".repeat(20);
  const generate = async (index: number): Promise<void> => {
    const stream = model.stream(prompt, { maxTokens: 100, ignoreEos: true, seed: index });
    for await (const _ of stream);
  };
  await measure(`generating, ${streams} at once`, () =>
    Promise.all(Array.from({ length: streams }, (_, i) => generate(i))),
  );
  await measure("closing", () => model.close());
}

void main();
