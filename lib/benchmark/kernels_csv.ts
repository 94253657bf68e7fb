import type { KernelBenchLine } from "./kernels";

const COLUMNS = [
  ...[
    "kernel",
    "family",
    "isa",
    "weights",
    "m",
    "k",
    "batch",
    "threads",
    "source",
    "microseconds",
    "gigamacsPerSecond",
  ],
  ...["gigabytesPerSecond", "fractionOfLimit", "packedBytes", "exact"],
] as (keyof KernelBenchLine)[];

/** The results as comma-separated values, a line each after a line of names; no value needs quotes. */
export function kernelsCsv(results: readonly KernelBenchLine[]): string {
  return [COLUMNS.join(","), ...results.map((line) => COLUMNS.map((column) => line[column]).join(","))].join("\n");
}
