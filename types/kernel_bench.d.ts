/** What measuring kernels takes and gives: a part of the contract in addon.d.ts. */
import type { GroupScales } from "./addon";

export interface KernelBenchCase {
  /** Tokens, 1 to 4096. */
  batch: number;
  /** 1 to 256. */
  threads: number;
  /** "memory": another copy of the matrix each time; "cache": a few rows of it over and over. */
  source: "cache" | "memory";
}

export interface KernelBenchRequest {
  kernel: string;
  rows: number;
  columns: number;
  /** For kernels of grouped weights; absent: ternary. */
  scales?: GroupScales;
  cases: KernelBenchCase[];
  /** Bytes of copies that take turns in "memory" cases. Default 256 MiB. */
  memoryBytes?: number;
  /** Bytes of packed weights per thread in "cache" cases. Default 256 KiB. */
  cacheBytes?: number;
  /** Bytes ahead; 0 or absent: the best of a few, for each case from memory. */
  prefetch?: number;
  /** For each case. Default 50. */
  milliseconds?: number;
}

export interface KernelBenchResult {
  /** Bytes of the packed matrix. */
  packedBytes: number;
  /** Whether worst-case inputs and the timed products' own sums equal the reference's. */
  exact: boolean;
  /** The first sum that differs, where one does. */
  difference?: string;
  /** One per case. */
  times: {
    /** Of one product of the whole matrix (scaled up where a part of its rows was timed), tables included; the median. */
    microseconds: number;
    /** Of all timed products together, and how many they were. */
    spentMicroseconds: number;
    products: number;
    prefetch: number;
  }[];
}

export interface DotProductProbe {
  isa: string;
  threads: number;
  /** 1e9 int8 multiply-adds per second of all threads, best of several runs. */
  gigamacsPerSecond: number;
}
