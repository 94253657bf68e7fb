/**
 * The standard suite, as one JSON line behind those of earlier runs, so that a regression is seen:
 *
 *   node -r @swc-node/register bench/history.ts model.gguf [--threads 1,2] [--out bench/history/runs.jsonl]
 *
 * The figures are told beside those of the last run on the same machine, model and threads.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { benchModel, type BenchReport } from "../lib/benchmark";

interface Line {
  time: string;
  commit: string;
  /** Whether files differ from the commit's. */
  changed: boolean;
  cpu: string;
  model: string;
  threads: number[];
  report: BenchReport;
}

const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8" }).trim();

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      threads: { type: "string", default: "1,2" },
      out: { type: "string", default: join(__dirname, "history", "runs.jsonl") },
    },
    allowPositionals: true,
  });
  const model = positionals[0];
  const threads = values.threads.split(",").map(Number);
  const report = await benchModel(model, {}, { prompt: 512, generate: 128, decodePrompt: 32, repeat: 3, threads });
  const line: Line = {
    time: new Date().toISOString(),
    commit: git("rev-parse", "--short", "HEAD"),
    changed: git("status", "--porcelain", "--untracked-files=no") !== "",
    cpu: report.cpu,
    model: model === undefined ? report.model : basename(model),
    threads,
    report,
  };
  const last = earlier(values.out).findLast(
    ({ cpu, model: name, threads: list }) => cpu === line.cpu && name === line.model && list.join() === threads.join(),
  );
  mkdirSync(dirname(values.out), { recursive: true });
  appendFileSync(values.out, `${JSON.stringify(line)}\n`);
  for (const [i, { test, threads: count, tokensPerSecond }] of report.results.entries()) {
    const before = last?.report.results[i]?.tokensPerSecond;
    const change =
      before === undefined ? "" : `, ${((tokensPerSecond / before - 1) * 100).toFixed(1)} % against ${last?.commit}`;
    console.log(`${test}, ${count} threads: ${tokensPerSecond.toFixed(1)} tokens/s${change}`);
  }
  console.log(`peak memory ${report.peakMemoryMiB.toFixed(0)} MiB`);
}

function earlier(file: string): Line[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => JSON.parse(text) as Line);
}

void main();
