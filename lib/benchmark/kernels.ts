import { freemem } from "node:os";
import type {
  Addon,
  CpuInfo,
  DotProductProbe,
  GroupScales,
  KernelInfo,
  MatrixShape,
  NativeTask,
} from "../../types/addon";
import { AbortError, InvalidOptionError } from "../errors";
import { cacheSizes } from "./caches";
import { EnergyMeter } from "./energy";
import { measureEnergy, type KernelEnergy } from "./kernel_energy";

/** The matrices of one token of BitNet b1.58 2B4T, as the engine stacks them: q, k and v are one matrix. */
export const SHAPES_2B4T: readonly MatrixShape[] = [
  { rows: 3840, columns: 2560, count: 30 },
  { rows: 2560, columns: 2560, count: 30 },
  { rows: 6912, columns: 2560, count: 60 },
  { rows: 2560, columns: 6912, count: 30 },
];

/** Where the weights come from: the caches they stay in, or memory, another copy of the matrix each time. */
export type WeightSource = "cache" | "memory";

/** What is measured. */
export interface KernelBenchOptions {
  shapes: readonly MatrixShape[];
  /**
   * What kernels for grouped weights multiply where a shape does not say: each of these in turn, but those that the
   * kernel does not take. Default: Q4_0's, 4 bits and a scale per 32 columns.
   */
  scales?: readonly GroupScales[];
  /** Names, families or instruction sets; all that this CPU runs where empty. */
  kernels: readonly string[];
  /** Tokens that are multiplied at a time. */
  batches: readonly number[];
  threads: readonly number[];
  sources: readonly WeightSource[];
  /** Time for each measurement. */
  milliseconds: number;
  /** Bytes of weights that take turns where they come from memory. Default: twice the last cache, 256 MiB to 1 GiB. */
  memoryBytes?: number;
  signal?: AbortSignal;
  /** Called with a word on what is being done, and the share that is over. */
  onStep?: (step: string, share: number) => void;
}

/** One measurement. */
export interface KernelBenchLine {
  kernel: string;
  family: string;
  isa: string;
  /** "ternary", or the bits of a code and the columns of a group: "4x32", "3x128z" with zero points. */
  weights: string;
  /** Output features. */
  m: number;
  /** Input features. */
  k: number;
  /** Tokens multiplied at a time. */
  batch: number;
  threads: number;
  source: WeightSource;
  /** One product of the whole matrix with `batch` tokens, look-up tables included; the median. */
  microseconds: number;
  /** m * k * batch a second, in 1e9. */
  gigamacsPerSecond: number;
  /** packedBytes a second, in 1e9. */
  gigabytesPerSecond: number;
  /**
   * The time that the machine's measured limits would allow over the time it took: reading the packed weights once at its
   * read bandwidth (from memory), or the multiply-adds at its best dot-product rate, whichever is longer.
   */
  fractionOfLimit: number;
  /** Bytes of the packed matrix. */
  packedBytes: number;
  /** Whether this run's sums, and those of worst-case inputs, equal the scalar reference's. */
  exact: boolean;
}

/** What the machine can do, measured around the kernels. */
export interface MachineLimits {
  /** Reading memory, best of several prefetch distances, before and after the kernels. */
  bandwidth: { threads: number; gigabytesPerSecond: number }[];
  /** A loop of nothing but int8 dot products, for each instruction set. */
  dotProduct: DotProductProbe[];
}

/** The whole measurement. */
export interface KernelBenchReport {
  cpu: CpuInfo;
  limits: MachineLimits;
  /** Joules for one token's matrices, or why there are none: they are never estimated. */
  energy: "not available" | KernelEnergy[];
  results: KernelBenchLine[];
  /** The first wrong sum of each kernel that is not exact. */
  differences: string[];
}

type BenchAddon = Pick<Addon, "cpu" | "kernels" | "benchKernel" | "probeBandwidth" | "probeDotProducts">;

/**
 * Measures kernels on shapes and compares them with what the machine can do.
 * @throws InvalidOptionError for a kernel that this CPU does not run
 * @throws AbortError
 */
export async function benchKernels(
  addon: BenchAddon,
  options: KernelBenchOptions,
  powercap?: string,
): Promise<KernelBenchReport> {
  const products = chooseProducts(chooseKernels(addon.kernels(), options.kernels), options);
  const sizes = cacheSizes();
  const memoryBytes = options.memoryBytes ?? regionBytes(sizes.level3);
  const steps = Math.max(products.length, 1);
  const step = (done: number, what: string): void => {
    if (options.signal?.aborted) throw new AbortError("bench kernels was aborted.", { cause: options.signal.reason });
    options.onStep?.(what, done / steps);
  };

  step(0, "measuring the machine");
  const limits: MachineLimits = { bandwidth: await probeBandwidths(addon, options, memoryBytes), dotProduct: [] };
  for (const threads of options.threads) {
    limits.dotProduct.push(...(await abortable(addon.probeDotProducts(threads), options.signal)));
  }

  const cases = options.threads.flatMap((threads) =>
    options.batches.flatMap((batch) => options.sources.map((source) => ({ batch, threads, source }))),
  );
  const results: KernelBenchLine[] = [];
  const differences: string[] = [];
  for (const [i, { kernel, shape }] of products.entries()) {
    const { name, family, isa } = kernel;
    const { rows, columns, scales } = shape;
    const weights = weightsName(scales);
    step(i, `${name}, ${rows}x${columns}${scales ? `, ${weights}` : ""}`);
    const request = { kernel: name, rows, columns, ...(scales ? { scales } : {}), cases, memoryBytes };
    const { milliseconds } = options;
    const task = addon.benchKernel({ ...request, cacheBytes: sizes.level2 / 4, milliseconds });
    const { packedBytes, exact, difference, times } = await abortable(task, options.signal);
    if (difference !== undefined) differences.push(difference);
    for (const [c, { microseconds }] of times.entries()) {
      const { batch, threads, source } = cases[c] ?? { batch: 0, threads: 0, source: "memory" };
      const what = { kernel: name, family, isa, weights, m: rows, k: columns, batch, threads, source, microseconds };
      const rates = {
        gigamacsPerSecond: (rows * columns * batch) / microseconds / 1e3,
        gigabytesPerSecond: packedBytes / microseconds / 1e3,
      };
      results.push({ ...what, ...rates, fractionOfLimit: 0, packedBytes, exact });
    }
  }

  step(steps, "measuring the machine again");
  for (const [i, { threads, gigabytesPerSecond }] of (await probeBandwidths(addon, options, memoryBytes)).entries()) {
    const before = limits.bandwidth[i]?.gigabytesPerSecond ?? 0;
    limits.bandwidth[i] = { threads, gigabytesPerSecond: Math.max(before, gigabytesPerSecond) };
  }
  for (const result of results) result.fractionOfLimit = fractionOfLimit(result, limits);

  const meter = await EnergyMeter.open(powercap);
  if (meter) step(steps, "measuring energy");
  const threads = Math.max(...options.threads);
  const run = (name: string, { rows, columns, scales }: MatrixShape, milliseconds: number) =>
    abortable(
      addon.benchKernel({
        ...{ kernel: name, rows, columns, memoryBytes, milliseconds, ...(scales ? { scales } : {}) },
        cases: [{ batch: 1, threads, source: "memory" }],
      }),
      options.signal,
    );
  const energy = meter ? await measureEnergy(meter, products, threads, run) : "not available";
  return { cpu: addon.cpu(), limits, energy, results, differences };
}

/** The share of what the machine's limits allow, 0 to 1 and a little more where they were measured low. */
export function fractionOfLimit(
  { m, k, batch, threads, source, microseconds, packedBytes }: KernelBenchLine,
  limits: MachineLimits,
): number {
  const bandwidth = limits.bandwidth.find((each) => each.threads === threads)?.gigabytesPerSecond ?? Infinity;
  const peak = dotProductPeak(limits, threads);
  const reading = source === "memory" ? packedBytes / bandwidth / 1e3 : 0;
  const multiplying = (m * k * batch) / peak / 1e3;
  return Math.max(reading, multiplying) / microseconds;
}

/** 1e9 multiply-adds a second of the best instruction set; Infinity where none was measured. */
export function dotProductPeak({ dotProduct }: MachineLimits, threads: number): number {
  const rates = dotProduct.filter((each) => each.threads === threads).map(({ gigamacsPerSecond }) => gigamacsPerSecond);
  return rates.length > 0 ? Math.max(...rates) : Infinity;
}

/** "4x32": codes of 4 bits with a scale per 32 columns; "z" behind it: with zero points. */
function weightsName(scales: GroupScales | undefined): string {
  return scales ? `${scales.bits}x${scales.group}${scales.zeroPoints ? "z" : ""}` : "ternary";
}

const Q4_0: GroupScales = { bits: 4, group: 32 };

/** A kernel and a matrix that it multiplies. */
export interface KernelProduct {
  kernel: KernelInfo;
  shape: MatrixShape;
}

function chooseProducts(kernels: readonly KernelInfo[], options: KernelBenchOptions): KernelProduct[] {
  const products = kernels.flatMap((kernel) =>
    options.shapes.flatMap((shape): KernelProduct[] => {
      if (kernel.weights === "ternary") return shape.scales ? [] : [{ kernel, shape }];
      const kinds = shape.scales ? [shape.scales] : (options.scales ?? [Q4_0]);
      return kinds.filter(takenBy(kernel)).map((scales) => ({ kernel, shape: { ...shape, scales } }));
    }),
  );
  if (products.length > 0) return products;
  throw new InvalidOptionError("bench kernels: none of the kernels multiplies weights of this kind.");
}

/** T-MAC's bit planes take up to four bits and groups of whole pairs of blocks. */
function takenBy({ family }: KernelInfo): (scales: GroupScales) => boolean {
  return ({ bits, group }) => family !== "tmac-group" || (bits <= 4 && group % 32 === 0);
}

function chooseKernels(all: readonly KernelInfo[], wanted: readonly string[]): KernelInfo[] {
  const available = all.filter((kernel) => kernel.available);
  if (wanted.length === 0) return available;
  const matches = (word: string) => (kernel: KernelInfo) => [kernel.name, kernel.family, kernel.isa].includes(word);
  for (const word of wanted) {
    if (available.some(matches(word))) continue;
    const names = available.map(({ name }) => name).join(", ");
    throw new InvalidOptionError(
      `bench kernels: "${word}" is no kernel, family or instruction set that this CPU runs. It runs ${names}.`,
    );
  }
  return available.filter((kernel) => wanted.some((word) => matches(word)(kernel)));
}

/** Enough that the last cache holds little of it when its turn comes again, within what is free. */
function regionBytes(lastCache: number): number {
  const wanted = Math.min(Math.max(2 * lastCache, 2 ** 28), 2 ** 30);
  return Math.floor(Math.max(2 ** 26, Math.min(wanted, freemem() / 4)));
}

async function probeBandwidths(
  addon: BenchAddon,
  { threads, signal }: KernelBenchOptions,
  bytes: number,
): Promise<MachineLimits["bandwidth"]> {
  const probes: MachineLimits["bandwidth"] = [];
  for (const count of threads) {
    if (signal?.aborted) break;
    const { gigabytesPerSecond } = await addon.probeBandwidth(Math.max(bytes, 2 ** 20), count);
    probes.push({ threads: count, gigabytesPerSecond });
  }
  return probes;
}

async function abortable<T>(task: NativeTask<T>, signal: AbortSignal | undefined): Promise<T> {
  const cancel = (): void => task.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await task.promise;
  } catch (error) {
    if (signal?.aborted) throw new AbortError("bench kernels was aborted.", { cause: signal.reason });
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
