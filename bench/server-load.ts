/**
 * A server under load: 64 connections, prompts and answers of mixed lengths, a third of the clients leaving early. Says
 * whether anything went wrong or was left behind, then stops the server in the middle of it.
 *
 *   node -r @swc-node/register bench/server-load.ts [--seconds 120] [--connections 64] [--model file.gguf]
 *   node -r @swc-node/register bench/server-load.ts --beside "node bench/peers/serve.mjs peer.gguf"
 *
 * Needs `npm run build`. `--beside` loads another server, too, in turns of 20 seconds: nobody leaves then, and only speed
 * is compared.
 */
import { parseArgs } from "node:util";
import { ServerProcess } from "./server_load/server_process";
import { Traffic, type Outcome } from "./server_load/traffic";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "120" },
    connections: { type: "string", default: "64" },
    "max-tokens": { type: "string", default: "100" },
    words: { type: "string", default: "200" },
    model: { type: "string" },
    queue: { type: "string", default: "40" },
    beside: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const own = ["dist/cli/main.js", "serve", "--port", "0", "--log-level", "warn", "--max-queue", values.queue];
const command = [process.execPath, ...own, ...(values.model === undefined ? [] : ["--model", values.model])];
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function traffic(url: string, leaving: number): Traffic {
  const [connections, maxTokens] = [Number(values.connections), Number(values["max-tokens"])];
  return new Traffic({ url, connections, leaving, maxTokens, promptWords: Number(values.words) });
}

function quantile(list: readonly number[], share: number): string {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? NaN).toFixed(1);
}

function report(name: string, outcome: Outcome, time: number): void {
  const { completed, left, refused, tokens, firstToken, between, errors } = outcome;
  const speed = `${(completed / time).toFixed(1)} answers/s, ${(tokens / time).toFixed(0)} tokens/s`;
  console.log(`${name}: ${completed} whole answers, ${left} left, ${refused} refused with 429; ${speed}`);
  const times = (list: readonly number[]): string =>
    [0.5, 0.95, 0.99].map((share) => quantile(list, share)).join(" / ");
  console.log(`  first token ${times(firstToken)} ms, between tokens ${times(between)} ms (p50 / p95 / p99)`);
  for (const [reason, count] of errors) console.log(`  ERROR ${count} x ${reason}`);
}

/** MiB a minute, by least squares. */
function slope(samples: readonly { at: number; memory: number }[]): number {
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  const [x, y] = [mean(samples.map(({ at }) => at)), mean(samples.map(({ memory }) => memory))];
  const [top, bottom] = samples.reduce(
    ([a, b], { at, memory }) => [a + (at - x) * (memory - y), b + (at - x) ** 2],
    [0, 0],
  );
  return (top / bottom) * 60;
}

async function endure(): Promise<boolean> {
  const server = await ServerProcess.start(command);
  const load = traffic(server.url, 1 / 3);
  const samples: { at: number; memory: number }[] = [];
  load.start();
  for (let at = 0; at < seconds; at++) {
    await pause(1000);
    samples.push({ at, memory: server.memory });
  }
  await load.stop();
  report(`${seconds} s`, load.outcome, seconds);
  const half = samples.slice(samples.length / 2);
  const memory = samples.map((each) => each.memory.toFixed(0));
  console.log(
    `  memory ${memory[Math.min(10, memory.length - 1)]} MiB after 10 s, ${memory.at(-1)} at the end, ` +
      `slope of the second half ${slope(half).toFixed(2)} MiB/min`,
  );
  await pause(500);
  const heap = await server.metric("nodejs_heap_size_used_bytes ");
  const external = await server.metric("nodejs_external_memory_bytes ");
  const inMiB = (value: number | undefined): string => ((value ?? NaN) / 2 ** 20).toFixed(0);
  console.log(`  JavaScript heap in use ${inMiB(heap)} MiB, outside of it ${inMiB(external)} MiB`);
  const held = [
    ["blocks held", await server.metric('bitnet_kv_blocks{model="fairy-tales-5.8m-i2_s",state="used"}')],
    ["running", await server.metric("bitnet_running_texts ")],
    ["queued", await server.metric("bitnet_queue_length ")],
  ] as const;
  console.log(`  afterwards: ${held.map(([name, value]) => `${name} ${value ?? "?"}`).join(", ")}`);

  const again = traffic(server.url, 0);
  again.start();
  await pause(3000);
  again.outcome.stopping = true;
  const [code] = await Promise.all([server.terminate(), pause(200).then(() => again.stop())]);
  const lost = [...again.outcome.errors].map(([reason, count]) => `${count} x ${reason}`);
  console.log(
    `stopped under load: ${again.outcome.finishedWhileStopping} streams finished, lost: ${lost.join(", ") || "none"}, exit code ${code}`,
  );
  const clean = load.outcome.errors.size === 0 && lost.length === 0 && code === 0;
  return clean && held.every(([, value]) => (value ?? 0) === 0);
}

async function compare(peer: string): Promise<boolean> {
  const commands = { "node-bitnet": command, peer: peer.split(" ") };
  let clean = true;
  for (let round = 1; round <= 2; round++) {
    for (const [name, each] of Object.entries(commands)) {
      const server = await ServerProcess.start(each);
      const load = traffic(server.url, 0);
      load.start();
      await pause(20_000);
      const { outcome } = load;
      report(`${name}, round ${round} (${server.memory.toFixed(0)} MiB)`, outcome, 20);
      clean &&= outcome.errors.size === 0;
      outcome.stopping = true;
      await Promise.all([server.terminate(), load.stop()]);
    }
  }
  return clean;
}

void (values.beside === undefined ? endure() : compare(values.beside)).then((clean) => {
  process.exitCode = clean ? 0 : 1;
});
