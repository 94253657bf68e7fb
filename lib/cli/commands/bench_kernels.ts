import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { GroupScales, MatrixShape } from "../../../types/addon";
import { loadAddon } from "../../addon";
import { benchKernels, kernelsCsv, kernelsHtml, SHAPES_2B4T, type KernelBenchReport } from "../../benchmark";
import { modelShapes } from "../../engine/model_shapes";
import { FileError, InvalidOptionError, KernelError } from "../../errors";
import { interruptSignal } from "../interrupt";
import { collectArgument, countArgument, countsArgument } from "../numbers";
import { print, printJson, table } from "../output";
import { Progress } from "../progress";

interface Flags {
  shape?: MatrixShape[];
  scales?: GroupScales[];
  model?: string;
  kernel?: string[];
  batch: number[];
  threads?: number[];
  source: "cache" | "memory" | "both";
  milliseconds: number;
  memory?: number;
  json?: boolean;
  csv?: boolean;
  html?: string;
}

const AFTER = `
Sums are compared with the scalar reference's in the very run; a kernel that differs ends the command with 1.
"of limit" is the time that the measured read bandwidth and dot-product rate allow over the time it took.`;

/** `node-bitnet bench kernels` */
export function addBenchKernels(bench: Command): void {
  bench
    .command("kernels")
    .description("Measure the kernels: time, GMAC/s, GB/s, share of the machine's limits, exactness")
    .option("--shape <MxK>", "rows x columns of a matrix; may be repeated (default: those of 2B4T)", shapeArgument)
    .option("-m, --model <file>", "take the shapes of a model")
    .option(
      "--scales <bits x group>",
      'what kernels for grouped weights multiply, "z" behind it for zero points; may be repeated (default: 4x32)',
      scalesArgument,
    )
    .option("--kernel <name>", "kernel, family or instruction set; may be repeated (default: all)", collectArgument)
    .addOption(
      new Option("--batch <list>", "tokens multiplied at a time").argParser(countsArgument).default([1, 8, 512]),
    )
    .option("-t, --threads <list>", "numbers of threads (default: 1 and the physical cores)", countsArgument)
    .addOption(
      new Option("--source <source>", "where weights come from").choices(["cache", "memory", "both"]).default("both"),
    )
    .addOption(new Option("--milliseconds <n>", "time for each measurement").argParser(countArgument).default(25))
    .option("--memory <MiB>", "weights that take turns from memory (default: by the last cache)", countArgument)
    .option("--json", "print { cpu, limits, energy, results }")
    .option("--csv", "print the results as comma-separated values")
    .option("--html <file>", "write a report with charts")
    .addHelpText("after", AFTER)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { shape, scales, model, kernel, batch, source, milliseconds, memory, html } = flags;
  if (flags.json && flags.csv) throw new InvalidOptionError("bench kernels: give --json or --csv, not both.");
  if (shape && model !== undefined) {
    throw new InvalidOptionError("bench kernels: give --shape or --model, not both.");
  }
  if (scales && model !== undefined) {
    throw new InvalidOptionError("bench kernels: give --scales or --model, not both: a model has scales of its own.");
  }
  const addon = loadAddon();
  const cpu = addon.cpu();
  const cores = Math.min(cpu.physicalCores, cpu.usableCpus);
  const progress = new Progress("measuring");
  let report: KernelBenchReport;
  try {
    report = await benchKernels(addon, {
      shapes: shape ?? (model === undefined ? SHAPES_2B4T : await modelShapes(resolve(model))),
      ...(scales ? { scales } : {}),
      kernels: kernel ?? [],
      batches: [...new Set(batch)],
      threads: [...new Set(flags.threads ?? [1, cores])],
      sources: source === "both" ? ["cache", "memory"] : [source],
      milliseconds,
      ...(memory === undefined ? {} : { memoryBytes: memory * 2 ** 20 }),
      signal: interruptSignal(),
      onStep: (step, share) => progress.step(`${Math.floor(share * 100)} %, ${step}`),
    });
  } finally {
    progress.clear();
  }
  if (html !== undefined) await writeReport(html, kernelsHtml(report));
  const { cpu: machine, limits, energy, results, differences } = report;
  if (flags.json) await printJson({ cpu: machine, limits, energy, results });
  else if (flags.csv) await print(kernelsCsv(results));
  else await print(reportText(report));
  if (differences.length > 0) throw new KernelError(`Wrong sums: ${differences.join("; ")}. Please report this CPU.`);
}

async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FileError(`Cannot write the report "${file}": ${reason}.`, { cause: error });
  }
}

function shapeArgument(text: string, before: readonly MatrixShape[] = []): MatrixShape[] {
  const [, rows, columns] = /^(\d+)[xX](\d+)$/.exec(text) ?? [];
  const shape = { rows: Number(rows), columns: Number(columns), count: 1 };
  const valid = shape.rows >= 1 && shape.rows <= 2 ** 24 && shape.columns >= 1 && shape.columns <= 262144;
  if (!valid) {
    throw new InvalidArgumentError("It must be rows x columns, 2560x6912 for example; at most 16777216x262144.");
  }
  return [...before, shape];
}

function scalesArgument(text: string, before: readonly GroupScales[] = []): GroupScales[] {
  const [, bits, group, zeros] = /^(\d+)[xX](\d+)(z?)$/.exec(text) ?? [];
  const scales = { bits: Number(bits), group: Number(group), ...(zeros ? { zeroPoints: true } : {}) };
  const valid = [1, 2, 3, 4, 8].includes(scales.bits) && scales.group >= 16 && scales.group % 16 === 0;
  if (!valid || scales.group > 262144) {
    throw new InvalidArgumentError(
      "It must be bits x columns of a group, 4x32 for example: 1, 2, 3, 4 or 8 bits, groups in steps of 16.",
    );
  }
  return [...before, scales];
}

function reportText({ cpu, limits, energy, results }: KernelBenchReport): string {
  const rows = results.map((each) => [
    each.kernel,
    each.weights,
    `${each.m}x${each.k}`,
    each.batch,
    each.threads,
    each.source,
    Number(each.microseconds.toFixed(1)),
    each.gigamacsPerSecond.toFixed(1).padStart(8),
    each.gigabytesPerSecond.toFixed(2).padStart(7),
    `${(each.fractionOfLimit * 100).toFixed(0)} %`.padStart(8),
    ((each.packedBytes * 8) / each.m / each.k).toFixed(2).padStart(11),
    each.exact ? "yes" : "NO",
  ]);
  const heads = [
    "kernel",
    "weights",
    "shape",
    "batch",
    "threads",
    "source",
    "us",
    "  GMAC/s",
    "   GB/s",
    "of limit",
    "bits/weight",
  ];
  const reads = limits.bandwidth.map(
    (each) => `${each.gigabytesPerSecond.toFixed(1)} GB/s with ${each.threads} threads`,
  );
  const dots = limits.dotProduct.map(
    ({ isa, threads, gigamacsPerSecond }) => `${isa} ${gigamacsPerSecond.toFixed(0)} GMAC/s with ${threads} threads`,
  );
  const joules =
    energy === "not available"
      ? ["energy per token: not available (no readable RAPL counters)"]
      : energy.map(
          (each) =>
            `energy per token, ${each.kernel}: ${each.joulesPerToken.toFixed(3)} J, above idle ` +
            `${each.joulesPerTokenAboveIdle.toFixed(3)} J (idle ${each.idleWatts.toFixed(1)} W)`,
        );
  return [
    `${cpu.model}: memory reads ${reads.join(", ")}`,
    `dot products: ${dots.join(", ")}`,
    ...joules,
    "",
    table([[...heads, "exact"], ...rows]),
  ].join("\n");
}
