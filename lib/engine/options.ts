import type { CpuInfo } from "../../types/addon";
import { InvalidOptionError } from "../errors";
import { abortSignal, boolean, callback, checkOptions, choice, describe, integer, text } from "../validate";
import { KV_TYPES, memorySize, type KvType } from "./memory";

/** How a model is loaded. All optional. */
export interface ModelOptions {
  /** Threads that compute, 1 to 256. Default: the physical cores this process may use. */
  threads?: number;
  /**
   * Most tokens of a sequence, prompt and answer together; at most what the model was made for. Default: what the model
   * was made for, but at most 4096, because the KV cache grows with it.
   */
  contextLength?: number;
  /**
   * Kernel ("avx2-i2s") or level ("scalar", "avx2", "avx512", "neon", ...). Results are the same bits with every one.
   * Default: the environment variable BITNET_KERNEL, else "auto", the fastest that this CPU runs.
   */
  kernel?: string;
  /**
   * Whether "auto" times the kernels for the model's shapes and number of threads, at its first load on this machine (up
   * to 2 s, models of 32 MiB and more), and keeps the result in the user's cache folder; see docs/kernels.md. Default:
   * true, or false where the environment variable BITNET_TUNE is "0".
   */
  tune?: boolean;
  /**
   * Precision of keys and values in the cache: "f16" takes half of the memory of "f32", "int8" a little more than a
   * quarter. Default "f16", or "int8" where `memoryLimit` leaves no room for the weights in memory.
   */
  kvType?: KvType;
  /** Most tokens in one step of the engine, 1 to 4096. Default 256. */
  maxBatchTokens?: number;
  /** Most prompt tokens in a step in which other texts are being generated, 1 to maxBatchTokens. Default 128. */
  prefillChunk?: number;
  /** Texts that are computed at the same time, 1 to 256; more wait for their turn. Default 16. */
  maxConcurrent?: number;
  /** Requests that may wait for their turn, at least 0; further ones fail with `QueueFullError`. Default 1024. */
  maxQueue?: number;
  /**
   * What the KV cache keeps of texts that are over, for others that begin the same way: most bytes, or a size like
   * "256MB"; true for all that is not in use, false for nothing. It lies within the cache's own memory. Default true.
   */
  prefixCache?: boolean | number | string;
  /**
   * "auto": candidates of a large head are found through a 2-bit sketch of it, with exact logits; "full": every logit is
   * computed each time. The results are the same. Default "auto".
   */
  head?: "auto" | "full";
  /**
   * Where weights in the kernel's layout are kept for the next load, which then takes a fraction of the time: true for the
   * user's cache folder, a path for another folder, false for nowhere; see docs/model-files.md. Default: what the environment
   * variable BITNET_PACKED_CACHE says ("1", "0" or a folder), else only where `memoryLimit` needs it.
   */
  packedCache?: boolean | string;
  /**
   * Most memory for weights, KV cache and intermediate results: bytes, or a size like "512MB". Where `contextLength` is
   * not given, it is chosen to fit. Weights that do not fit stay in the file of the packed cache, from which the system
   * reads them as it finds room: slower, but it runs. Default: no limit.
   */
  memoryLimit?: number | string;
  /** Stops loading; the promise rejects with `AbortError`. */
  signal?: AbortSignal;
  /** Called with the share of loading that is done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * The default of `maxBatchTokens`: a prompt is read no slower than with twice as many, and the intermediate results of a
 * model of two billion weights take 11 MiB less.
 */
export const DEFAULT_BATCH_TOKENS = 256;

/** Checks of `ModelOptions`. */
export const modelChecks = {
  threads: integer({ min: 1, max: 256 }),
  contextLength: integer({ min: 1 }),
  kernel: text(),
  tune: boolean(),
  kvType: choice(KV_TYPES),
  maxBatchTokens: integer({ min: 1, max: 4096 }),
  prefillChunk: integer({ min: 1, max: 4096 }),
  maxConcurrent: integer({ min: 1, max: 256 }),
  maxQueue: integer({ min: 0 }),
  prefixCache: cacheCheck,
  head: choice(["auto", "full"] as const),
  packedCache: packedCheck,
  memoryLimit: memorySize,
  signal: abortSignal(),
  onProgress: callback<(share: number) => void>(),
};

/** Options with every default filled in that does not depend on the model. */
export interface ResolvedModelOptions {
  threads: number;
  contextLength: number | undefined;
  kernel: string;
  tune: boolean;
  /** As the user wants it; undefined: what fits. */
  kvType: KvType | undefined;
  maxBatchTokens: number;
  prefillChunk: number;
  maxConcurrent: number;
  maxQueue: number;
  /** Bytes; Infinity for all that is not in use. */
  prefixCache: number;
  head: "auto" | "full";
  packedCache: boolean | string | undefined;
  memoryLimit: number | undefined;
  signal: AbortSignal | undefined;
  onProgress: (share: number) => void;
}

/**
 * Checks the options of `Model.load` and fills in what the machine decides.
 * @throws InvalidOptionError
 */
export function resolveModelOptions(options: ModelOptions | undefined, cpu: () => CpuInfo): ResolvedModelOptions {
  const given = checkOptions("Model.load", options, modelChecks);
  const maxBatchTokens = given.maxBatchTokens ?? DEFAULT_BATCH_TOKENS;
  const prefillChunk = given.prefillChunk ?? Math.min(128, maxBatchTokens);
  if (prefillChunk > maxBatchTokens) {
    throw new InvalidOptionError(
      `Model.load: option "prefillChunk" is ${prefillChunk}; it must be at most maxBatchTokens (${maxBatchTokens}).`,
    );
  }
  return {
    threads: given.threads ?? defaultThreads(cpu()),
    contextLength: given.contextLength,
    kernel: given.kernel ?? kernelFromEnvironment(),
    tune: given.tune ?? process.env.BITNET_TUNE !== "0",
    kvType: given.kvType,
    maxBatchTokens,
    prefillChunk,
    maxConcurrent: given.maxConcurrent ?? 16,
    maxQueue: given.maxQueue ?? 1024,
    prefixCache: given.prefixCache ?? Infinity,
    head: given.head ?? "auto",
    packedCache: given.packedCache,
    memoryLimit: given.memoryLimit,
    signal: given.signal,
    onProgress: given.onProgress ?? (() => undefined),
  };
}

function cacheCheck(name: string, value: unknown): number {
  if (typeof value === "boolean") return value ? Infinity : 0;
  return memorySize(name, value);
}

function packedCheck(name: string, value: unknown): boolean | string {
  if (typeof value === "boolean" || (typeof value === "string" && value !== "")) return value;
  throw new InvalidOptionError(`${name} must be true, false or the path of a folder, not ${describe(value)}.`);
}

function defaultThreads(cpu: CpuInfo): number {
  return Math.max(1, Math.min(cpu.physicalCores, cpu.usableCpus, 256));
}

/** An empty variable counts as not set, as shells can hardly say otherwise. */
function kernelFromEnvironment(): string {
  const { BITNET_KERNEL: kernel = "" } = process.env;
  return kernel === "" ? "auto" : kernel;
}
