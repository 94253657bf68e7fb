import type { ModelSpec, TensorRef } from "../../types/addon";
import { BitnetError, InvalidOptionError } from "../errors";
import { readGguf, readTokenizerInfo, type GgufFile, type GgufTensor, type GgufValue } from "../files/gguf";
import { packedBytes } from "./packed_bytes";
import { describeModel } from "./registry";

/** Positions in one block of the KV cache. */
const KV_BLOCK = 32;

/** Elements of metadata arrays that `inspect` shows; the rest is counted. */
const SHOWN_ELEMENTS = 8;

/** What a run is planned for. */
export interface MemoryOptions {
  /** Positions of all sequences together; default the model's context length. */
  contextLength?: number;
  /** Type of cached keys and values; default "f16". */
  kvType?: "f32" | "f16";
  /** Most tokens in one forward pass; default 512. */
  maxBatchTokens?: number;
}

/** Estimated memory of a run, in bytes. */
export interface MemoryPlan {
  /** Ternary weights in the kernels' layout, 2 bits each, padded to tiles of 16 rows by 256 columns. */
  packedWeights: number;
  /** Embedding, head and norms, read from the mapped file: shared, and not counted twice. */
  mapped: number;
  /** KV cache for `contextLength` positions, in whole blocks of 32. */
  kvCache: number;
  /** Activations of `maxBatchTokens` tokens and the logits of one. */
  scratch: number;
  total: number;
  contextLength: number;
  kvType: "f32" | "f16";
}

/** A tensor as `inspect` prints it. */
export interface TensorSummary {
  name: string;
  /** Elements per dimension, fastest first. */
  shape: number[];
  type: string;
  offset: number;
  bytes: number;
}

/** What `inspect` prints about a file. */
export interface Inspection {
  file: { path: string; bytes: number; version: number; alignment: number };
  /** JSON values by key; long arrays as `{ type, length, first }`, integers beyond 2^53 as strings. */
  metadata: Record<string, unknown>;
  tensors: TensorSummary[];
  /** Tensors, elements and bytes per type. */
  types: Record<string, { tensors: number; elements: number; bytes: number; bitsPerWeight: number }>;
  /** Absent where the model cannot be run. */
  memory?: MemoryPlan;
  /** Why the model cannot be run: message and code of the error that loading it would give. */
  problem?: { code: string; message: string };
}

/**
 * Reads a GGUF file's header and sums it up. Files that cannot be run are described too, with the reason.
 * @throws FileError, ModelFormatError, UnsupportedModelError where the header cannot be read at all.
 */
export async function inspectFile(
  path: string,
  options: MemoryOptions & { signal?: AbortSignal } = {},
): Promise<Inspection> {
  const file = await readGguf(path, { allowUnknownTypes: true, ...(options.signal ? { signal: options.signal } : {}) });
  return {
    file: { path: file.path, bytes: file.size, version: file.version, alignment: file.alignment },
    metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, summarise(value)])),
    tensors: file.tensors.map(summariseTensor),
    types: countTypes(file),
    ...runnable(file, options),
  };
}

/**
 * The memory a run of this model takes, estimated from its shapes.
 * @throws InvalidOptionError for a context or batch that is no positive integer, or a context longer than the model's.
 */
export function memoryPlan(spec: ModelSpec, options: MemoryOptions = {}): MemoryPlan {
  const { contextLength = spec.contextLength, kvType = "f16", maxBatchTokens = 512 } = options;
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new InvalidOptionError(`Option "contextLength" is ${contextLength}; it must be a positive integer.`);
  }
  if (!Number.isInteger(maxBatchTokens) || maxBatchTokens < 1) {
    throw new InvalidOptionError(`Option "maxBatchTokens" is ${maxBatchTokens}; it must be a positive integer.`);
  }
  const linear = linearTensors(spec);
  let packedWeights = 0;
  let mapped = 0;
  for (const tensor of specTensors(spec)) {
    if (linear.has(tensor)) packedWeights += packedBytes(tensor);
    else mapped += tensor.byteLength;
  }
  const keys = spec.headCountKv * spec.headDim;
  const blocks = Math.ceil(contextLength / KV_BLOCK);
  const kvCache = blocks * KV_BLOCK * spec.layerCount * 2 * keys * (kvType === "f16" ? 2 : 4);
  const queries = spec.headCount * spec.headDim;
  // Residual, norm, projections and attention output in f32, the FFN's two halves in f32, and their int8 copies.
  const perToken =
    4 * (2 * spec.embeddingLength + 2 * queries + 2 * keys + 2 * spec.ffnLength) + spec.ffnLength + queries;
  const scratch = maxBatchTokens * perToken + 4 * spec.vocabularySize;
  const total = packedWeights + mapped + kvCache + scratch;
  return { packedWeights, mapped, kvCache, scratch, total, contextLength, kvType };
}

/** Every tensor of a model. */
export function* specTensors(spec: ModelSpec): Generator<TensorRef> {
  yield spec.tokenEmbedding;
  yield spec.outputNorm;
  if (spec.output) yield spec.output;
  for (const layer of spec.layers) {
    for (const tensor of Object.values(layer) as (TensorRef | boolean | undefined)[]) {
      if (typeof tensor === "object") yield tensor;
    }
  }
}

/** The matrices of the linear layers, which are packed. */
function linearTensors(spec: ModelSpec): Set<TensorRef> {
  return new Set(
    spec.layers.flatMap(({ q, k, v, attnOutput, gate, up, down }) => [q, k, v, attnOutput, gate, up, down]),
  );
}

function runnable(file: GgufFile, options: MemoryOptions): Pick<Inspection, "memory" | "problem"> {
  let spec: ModelSpec;
  try {
    spec = describeModel(file);
    readTokenizerInfo(file);
  } catch (error) {
    if (!(error instanceof BitnetError)) throw error;
    return { problem: { code: error.code, message: error.message } };
  }
  return { memory: memoryPlan(spec, options) };
}

function summariseTensor({ name, dims, format, offset, byteLength }: GgufTensor): TensorSummary {
  return { name, shape: [...dims], type: format, offset, bytes: byteLength };
}

function countTypes(file: GgufFile): Inspection["types"] {
  const types: Inspection["types"] = {};
  for (const tensor of file.tensors) {
    const entry = (types[tensor.format] ??= { tensors: 0, elements: 0, bytes: 0, bitsPerWeight: 0 });
    entry.tensors++;
    entry.elements += tensor.dims.reduce((product, size) => product * size, 1);
    entry.bytes += tensor.byteLength;
    entry.bitsPerWeight = (8 * entry.bytes) / entry.elements;
  }
  return types;
}

/** A metadata value as JSON can hold it. */
function summarise(entry: GgufValue): unknown {
  if (entry.type !== "array") return plain(entry.value);
  const { elementType, value } = entry;
  const first: unknown[] = [];
  for (const element of value as Iterable<number | bigint | boolean | string | GgufValue>) {
    if (first.length === SHOWN_ELEMENTS) break;
    first.push(typeof element === "object" ? summarise(element) : plain(element));
  }
  return value.length <= SHOWN_ELEMENTS ? first : { type: elementType, length: value.length, first };
}

/** JSON knows neither bigint nor NaN and the infinities. */
function plain(value: number | bigint | boolean | string): unknown {
  if (typeof value === "bigint") return value.toString();
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
