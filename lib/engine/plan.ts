import { totalmem } from "node:os";
import type { ModelSpec } from "../../types/addon";
import { sketchBytes } from "../architectures";
import { InvalidOptionError, OutOfMemoryError } from "../errors";
import { BLOCK_POSITIONS, blocksFor } from "./blocks";
import { estimateMemory, formatBytes, kvBytesPerPosition, KV_TYPES, type KvType, type MemoryEstimate } from "./memory";
import type { ResolvedModelOptions } from "./options";
import { packedCacheFolder } from "./packed_cache";

const LONGEST_DEFAULT_CONTEXT = 4096;
/** Full contexts that the default cache holds: more requests share it, and give way to each other where it is too small. */
const FULL_CONTEXTS = 4;

/** Context below which weights in their file are better than weights in memory, where nobody asked for a length. */
const SHORT_CONTEXT = 2048;

/** What Node.js itself takes, and each token of a vocabulary. */
const PROCESS_BYTES = 56 * 2 ** 20;
const VOCABULARY_BYTES = 600;

/** What is left to the system for the weights that pass through memory. */
const STREAM_BYTES = 48 * 2 ** 20;

/** Most tokens of a step where weights are read from their file: intermediate results take room from them. */
const MAPPED_BATCH = 256;

/** What the context is made with, once the model is known. */
export interface ContextPlan {
  contextLength: number;
  kvType: KvType;
  kvBlocks: number;
  /** Blocks of them that texts may leave behind for others that begin the same way. */
  cacheBlocks: number;
  /** Whether there is room for what speeds up decoding besides (a sketch of the head); always, without a memory limit. */
  shortcuts: boolean;
  /** Bytes of packed weights, with that. */
  packedBytes: number;
  /** Whether the packed weights stay in their file, because memory does not hold them. */
  mapped: boolean;
  /** How much of them is kept in memory then. */
  residentBytes: number;
  maxBatchTokens: number;
}

/**
 * Chooses the context length, the size of the KV cache and where the weights are.
 * @throws InvalidOptionError when the context is longer than the model's
 * @throws OutOfMemoryError when the memory limit does not suffice, saying what would
 */
export function planContext(spec: ModelSpec, options: ResolvedModelOptions): ContextPlan {
  const { contextLength: wanted, memoryLimit } = options;
  if (wanted !== undefined && wanted > spec.contextLength) {
    throw new InvalidOptionError(
      `Model.load: option "contextLength" is ${wanted}, but the model was made for at most ${spec.contextLength} tokens.`,
    );
  }
  const length = wanted ?? Math.min(spec.contextLength, LONGEST_DEFAULT_CONTEXT);
  const { contextLength, kvType, mapped } =
    memoryLimit === undefined
      ? { contextLength: length, kvType: options.kvType ?? "f16", mapped: false }
      : fit(spec, length, memoryLimit, options);
  const maxBatchTokens = mapped ? Math.min(options.maxBatchTokens, MAPPED_BATCH) : options.maxBatchTokens;
  const one = estimateMemory(spec, { contextLength, kvType, maxBatchTokens });
  let sequences = mapped ? 1 : Math.min(options.maxConcurrent, FULL_CONTEXTS);
  let shortcuts = !mapped;
  if (memoryLimit !== undefined && !mapped) {
    sequences = Math.min(sequences, 1 + Math.floor((memoryLimit - one.totalBytes) / one.kvBytes));
    shortcuts = one.totalBytes + (sequences - 1) * one.kvBytes + sketchBytes(spec) <= memoryLimit;
  }
  const copies = shortcuts || mapped ? sketchBytes(spec) : 0;
  const kvBlocks = blocksFor(contextLength) * sequences;
  const blockBytes = BLOCK_POSITIONS * kvBytesPerPosition(spec, kvType);
  const cacheBlocks = Math.min(kvBlocks, Math.floor(options.prefixCache / blockBytes));
  const packedBytes = one.packedBytes + copies;
  if (!mapped) checkContainer(packedBytes + one.scratchBytes);
  const residentBytes = mapped ? Math.max(0, (memoryLimit ?? 0) - besideWeights(spec, one)) : packedBytes;
  const sizes = { contextLength, kvType, kvBlocks, cacheBlocks, packedBytes, residentBytes, maxBatchTokens };
  return { ...sizes, shortcuts, mapped };
}

/**
 * Refuses what a container's memory cannot hold: the system would end the process without a word while it loads.
 * @param bytes that loading writes to, all of them
 */
function checkContainer(bytes: number): void {
  const limit = process.constrainedMemory();
  // 0, or more than there is: no limit.
  if (limit === 0 || limit >= totalmem() || bytes + PROCESS_BYTES <= limit) return;
  throw new OutOfMemoryError(
    `Model.load: the memory of this container or control group is limited to ${formatBytes(limit)}; weights and ` +
      `intermediate results take ${formatBytes(bytes)}, Node.js itself ${formatBytes(PROCESS_BYTES)}. Raise the limit, or ` +
      `give the option memoryLimit, with which weights may stay in their file.`,
  );
}

/** What else there must be room for where weights are read from their file. */
function besideWeights(spec: ModelSpec, { kvBytes, scratchBytes }: MemoryEstimate): number {
  return PROCESS_BYTES + spec.vocabularySize * VOCABULARY_BYTES + STREAM_BYTES + kvBytes + scratchBytes;
}

/** Something that fits the limit: all in memory, with a shorter context where none was asked for, or weights in their file. */
function fit(
  spec: ModelSpec,
  length: number,
  limit: number,
  options: ResolvedModelOptions,
): Pick<ContextPlan, "contextLength" | "kvType" | "mapped"> {
  const { maxBatchTokens, contextLength: wanted } = options;
  const kvType = options.kvType ?? "f16";
  const need = (contextLength: number, type = kvType): number =>
    estimateMemory(spec, { contextLength, kvType: type, maxBatchTokens }).totalBytes;
  if (need(length) <= limit) return { contextLength: length, kvType, mapped: false };
  /** The longest context beside `fixed` bytes of all else. */
  const longest = (fixed: number, type: KvType): number =>
    Math.floor((limit - fixed) / (BLOCK_POSITIONS * kvBytesPerPosition(spec, type))) * BLOCK_POSITIONS;
  const fitting = longest(need(0), kvType);
  if (wanted === undefined && fitting >= SHORT_CONTEXT) return { contextLength: fitting, kvType, mapped: false };

  const mappedType = options.kvType ?? "int8";
  const mappedUse = { contextLength: 0, kvType: mappedType, maxBatchTokens: Math.min(maxBatchTokens, MAPPED_BATCH) };
  const mappedFixed = besideWeights(spec, estimateMemory(spec, mappedUse)) + sketchBytes(spec);
  const mappedFitting = Math.min(length, longest(mappedFixed, mappedType));
  const kept = packedCacheFolder(options.packedCache, true) !== undefined;
  if (kept && (mappedFitting >= length || (wanted === undefined && mappedFitting >= SHORT_CONTEXT))) {
    return { contextLength: mappedFitting, kvType: mappedType, mapped: true };
  }
  if (wanted === undefined && fitting >= 256) return { contextLength: fitting, kvType, mapped: false };

  const ways = [`a memoryLimit of at least ${Math.ceil(need(length) / 2 ** 20)}MB`];
  if (fitting >= 32) ways.push(`a contextLength of at most ${fitting}`);
  const smaller = KV_TYPES.slice(KV_TYPES.indexOf(kvType) + 1).find((type) => longest(need(0), type) >= length);
  if (smaller) ways.push(`kvType "${smaller}"`);
  if (!kept && mappedFitting >= length) ways.push("weights read from a file as they are needed (option packedCache)");
  throw new OutOfMemoryError(
    `Model.load: ${formatBytes(limit)} (option "memoryLimit") do not suffice: weights and intermediate results take ` +
      `${formatBytes(need(0))}, the KV cache for ${length} tokens ${formatBytes(need(length) - need(0))}. ` +
      `What would fit: ${ways.join(", or ")}.`,
  );
}
