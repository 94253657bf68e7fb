/**
 * Time from nothing to a first token, and what memory a model takes after some work, in a process of its own:
 *
 *   node -r @swc-node/register bench/load.ts [--model file] [--threads n] [--tokens n] [options of Model.load as JSON]
 *
 * Run it twice: the first time fills the page cache (and the packed cache, where that is on).
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Model, type ModelOptions } from "..";
import { loadAddon } from "../lib/addon";

/** Resident MiB by what backs it, from Linux's smaps. */
function resident(): Record<string, number> {
  const kinds: Record<string, number> = {};
  let name = "";
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$/.exec(line);
    if (mapping) {
      const path = mapping[1] ?? "";
      name = path === "" ? "anonymous" : path.startsWith("[") ? path : (path.split("/").pop() ?? path);
      continue;
    }
    const size = /^(Rss|AnonHugePages):\s+(\d+) kB/.exec(line);
    if (!size) continue;
    const key = size[1] === "Rss" ? name : `huge pages`;
    kinds[key] = (kinds[key] ?? 0) + Number(size[2]) / 1024;
  }
  return Object.fromEntries(
    Object.entries(kinds)
      .filter(([, mib]) => mib >= 1)
      .sort(([, a], [, b]) => b - a)
      .map(([key, mib]) => [key, Math.round(mib)]),
  );
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { model: { type: "string" }, threads: { type: "string" }, tokens: { type: "string", default: "128" } },
    allowPositionals: true,
  });
  const options = JSON.parse(positionals[0] ?? "{}") as ModelOptions;
  if (values.threads !== undefined) options.threads = Number(values.threads);
  const start = performance.now();
  const model = await Model.load(values.model, options);
  const loaded = performance.now();
  const stream = model.stream("Once upon a time", {
    maxTokens: Number(values.tokens),
    ignoreEos: true,
    temperature: 0,
  });
  let first = 0;
  let decode = 0;
  for await (const { timings } of stream) {
    first ||= performance.now();
    decode = timings?.decodeTokensPerSecond ?? decode;
  }
  const peakMiB = loadAddon().peakMemoryBytes() / 2 ** 20;
  const { kernel, memory } = model.info;
  const report = {
    kernel,
    loadMs: Math.round(loaded - start),
    firstTokenMs: Math.round(first - start),
    decodeTokensPerSecond: Number(decode.toFixed(1)),
    peakMiB: Math.round(peakMiB),
    residentMiB: resident(),
    memory,
  };
  await model.close();
  console.log(JSON.stringify(report, null, 2));
}

void main();
