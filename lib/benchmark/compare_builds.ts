import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { FileError } from "../errors";
import type { BenchReport } from "./bench_model";

/** How two builds are compared. */
export interface CompareBuildsOptions {
  /** Arguments of `bench model` for both, `--model` for example. */
  arguments: readonly string[];
  /** Times that each is measured; they take turns, and the order changes from round to round. */
  rounds: number;
  signal?: AbortSignal;
  onStep?: (step: string) => void;
}

/** One line of the result. */
export interface BuildComparison {
  test: string;
  threads: number;
  unit: "tokens/s" | "MiB";
  /** Medians. */
  a: number;
  b: number;
  /** Median of the rounds' own ratios b / a: what disturbs a round disturbs both. */
  ratio: number;
  /** The smallest and the largest of them. */
  spread: [number, number];
}

/**
 * Measures two builds of node-bitnet, the folders of two packages with `dist/` and their binaries, in turn.
 * @throws FileError where a folder holds no build
 */
export async function compareBuilds(a: string, b: string, options: CompareBuildsOptions): Promise<BuildComparison[]> {
  const programs = await Promise.all([a, b].map(programOf));
  const values = new Map<
    string,
    { test: string; threads: number; unit: "tokens/s" | "MiB"; runs: [number[], number[]] }
  >();
  const note = (side: 0 | 1, test: string, threads: number, unit: "tokens/s" | "MiB", value: number): void => {
    const key = `${test} ${threads}`;
    const entry = values.get(key) ?? { test, threads, unit, runs: [[], []] };
    entry.runs[side].push(value);
    values.set(key, entry);
  };
  for (let round = 0; round < options.rounds; round++) {
    for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      options.onStep?.(`round ${round + 1} of ${options.rounds}, ${side === 0 ? "A" : "B"}`);
      const report = await measure(programs[side] ?? "", options);
      for (const { test, threads, tokensPerSecond } of report.results) {
        note(side, test, threads, "tokens/s", tokensPerSecond);
      }
      note(side, "peak memory", Math.max(...report.results.map(({ threads }) => threads)), "MiB", report.peakMemoryMiB);
    }
  }
  return [...values.values()].map(({ test, threads, unit, runs: [first, second] }) => {
    const ratios = first.map((value, i) => (second[i] ?? NaN) / value);
    const spread: [number, number] = [Math.min(...ratios), Math.max(...ratios)];
    return { test, threads, unit, a: median(first), b: median(second), ratio: median(ratios), spread };
  });
}

async function programOf(folder: string): Promise<string> {
  const program = join(resolve(folder), "dist", "cli", "main.js");
  if (!(await stat(program).catch(() => undefined))?.isFile()) {
    throw new FileError(
      `${folder} holds no build of node-bitnet: ${program} does not exist. Run "npm run build" there.`,
    );
  }
  return program;
}

async function measure(program: string, options: CompareBuildsOptions): Promise<BenchReport> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [program, "bench", "model", "--json", ...options.arguments],
    { maxBuffer: 2 ** 24, ...(options.signal ? { signal: options.signal } : {}) },
  );
  return JSON.parse(stdout) as BenchReport;
}

/** The middle of some values, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
