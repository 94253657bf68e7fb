import type { ModelSpec, TensorRef } from "../../types/addon";
import { linearTensors, packedBytes as packedMatrixBytes, sketchBytes } from "../architectures";
import { InvalidOptionError } from "../errors";
import { describe } from "../validate";
import { BLOCK_POSITIONS, blocksFor } from "./blocks";

/** Precision of keys and values in the cache. */
export type KvType = (typeof KV_TYPES)[number];

/** From the most precise to the smallest; "int8" has a float scale per position and head. */
export const KV_TYPES = ["f32", "f16", "int8"] as const;

/** Bytes that a run of a model takes. */
export interface MemoryEstimate {
  /** Ternary weights, packed into the kernel's layout. */
  packedBytes: number;
  /** Embedding, head and norms, read from the mapped file. */
  mappedBytes: number;
  /** KV cache for one sequence of `contextLength`. */
  kvBytes: number;
  kvType: KvType;
  contextLength: number;
  /** What makes decoding faster besides: a sketch of a large head. */
  shortcutBytes: number;
  /** Room for intermediate results of a step. */
  scratchBytes: number;
  /** All of them. */
  totalBytes: number;
}

/** What an estimate is made for. */
export interface MemoryUse {
  contextLength: number;
  kvType: KvType;
  maxBatchTokens: number;
  /** Whether decoding's shortcuts are kept; default no. */
  shortcuts?: boolean;
}

/** Bytes that keys and values of one position take in all layers. */
export function kvBytesPerPosition(spec: ModelSpec, kvType: KvType): number {
  // Heads are padded to whole vectors of 16.
  const width = Math.ceil(spec.headDim / 16) * 16;
  const head = kvType === "f32" ? 4 * width : kvType === "f16" ? 2 * width : width + 4;
  return 2 * spec.layerCount * spec.headCountKv * head;
}

/** The memory that a model needs for one sequence, told from its description alone; exact but for the scratch. */
export function estimateMemory(spec: ModelSpec, use: MemoryUse): MemoryEstimate {
  const packedBytes = sum(linearTensors(spec), packedMatrixBytes);
  const dense = [spec.tokenEmbedding, spec.outputNorm, ...(spec.output ? [spec.output] : [])];
  const mappedBytes = sum(dense, ({ byteLength }) => byteLength);
  const kvBytes = blocksFor(use.contextLength) * BLOCK_POSITIONS * kvBytesPerPosition(spec, use.kvType);
  // Hidden state, its norm, queries, keys, values, gate and up as floats, and their int8 forms.
  const { embeddingLength, headCount, headCountKv, headDim, ffnLength } = spec;
  const widths = 4 * embeddingLength + 2 * (headCount + headCountKv) * headDim + 2 * ffnLength;
  const shortcutBytes = use.shortcuts ? sketchBytes(spec) : 0;
  const scratchBytes = use.maxBatchTokens * widths * 5 + spec.vocabularySize * 4;
  return {
    packedBytes,
    mappedBytes,
    kvBytes,
    kvType: use.kvType,
    contextLength: use.contextLength,
    shortcutBytes,
    scratchBytes,
    totalBytes: packedBytes + mappedBytes + kvBytes + shortcutBytes + scratchBytes,
  };
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  kb: 2 ** 10,
  kib: 2 ** 10,
  m: 2 ** 20,
  mb: 2 ** 20,
  mib: 2 ** 20,
  g: 2 ** 30,
  gb: 2 ** 30,
  gib: 2 ** 30,
};

/**
 * A number of bytes, given as a number or as text with a unit: "512MB", "1.5 GiB". All units count in powers of 1024,
 * as memory is sold.
 * @throws InvalidOptionError
 */
export function memorySize(name: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  if (typeof value === "string") {
    const parts = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(value.trim());
    const unit = UNITS[parts?.[2]?.toLowerCase() ?? "?"];
    const bytes = Math.floor(Number(parts?.[1]) * (unit ?? NaN));
    if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  }
  throw new InvalidOptionError(
    `${name} must be a number of bytes or a size like "512MB" or "1.5GB", not ${describe(value)}.`,
  );
}

/** A number of bytes for people: "512.0 MiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power] ?? ""}`;
}

function sum(tensors: readonly TensorRef[], bytes: (tensor: TensorRef) => number): number {
  return tensors.reduce((total, tensor) => total + bytes(tensor), 0);
}
