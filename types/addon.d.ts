/**
 * The contract between TypeScript (lib/) and the native addon (native/addon/).
 *
 * TypeScript decides, C++ computes: everything here is a plain description (numbers, offsets, typed arrays). Both sides
 * are checked against this file: lib/addon.ts types the binary with `Addon`, and native/addon/ names the declaration it
 * implements. Shapes are row-major and written [rows, columns]; all sizes are in elements unless a name says bytes.
 *
 * Every error thrown or rejected by the addon is an `Error` with a string `code` (see lib/errors.ts, which maps codes to
 * classes): ERR_INVALID_ARGUMENT, ERR_MODEL_FORMAT, ERR_UNSUPPORTED_MODEL, ERR_FILE, ERR_OUT_OF_MEMORY, ERR_KV_FULL,
 * ERR_ABORTED, ERR_CLOSED, ERR_KERNEL.
 */

import type { ForwardBatch, ForwardResult } from "./forward";
import type { DotProductProbe, KernelBenchRequest, KernelBenchResult } from "./kernel_bench";

export type * from "./forward";
export type * from "./kernel_bench";

/** Weight formats by the name users see in `inspect`. The native registry is native/formats/registry.cpp. */
export type WeightFormat = string;

/**
 * A tensor inside a mapped file.
 * A ternary weight is `codes * scale`, `codes` in {-1, 0, +1}, output row r = sum over columns k of W[r][k] * x[k].
 */
export interface TensorRef {
  /** Index into `ModelSpec.files`. */
  file: number;
  /** Byte offset of the first byte, from the start of the file. */
  offset: number;
  /** Bytes that belong to the tensor; must equal what `format` needs for the shape. */
  byteLength: number;
  format: WeightFormat;
  /** Output features. 1 for vectors. */
  rows: number;
  /** Input features, or the length of a vector. */
  columns: number;
  /** Name used in error messages, for example "blk.0.attn_q.weight". */
  name: string;
  /** Per-tensor scale, where the format's bytes carry none (Hugging Face packed uint8). Absent: the format's own. */
  scale?: number;
  /**
   * Row order fix for files that store q and k permuted for interleaved RoPE (llama-type GGUF): number of heads whose
   * rows must be un-permuted into half-split order while packing. Absent: rows are used as they are.
   */
  unpermuteHeads?: number;
  /** The tensors that go with codes of GPTQ (formats "gptq2", "gptq3", "gptq4"), and only with those. */
  gptq?: GptqTensors;
  /** Added to every element of a vector (Hugging Face's gemma folders store norm weights minus 1). Absent: 0. */
  add?: number;
}

/**
 * What belongs to a matrix of GPTQ codes: weight[r][k] = (code - zero) * scale, with the scale and zero of the group of
 * column k. Codes are int32 [columns * bits / 32, rows]: the bits of one row's codes follow one another down a column.
 */
export interface GptqTensors {
  /** Columns that share a scale and a zero. */
  size: number;
  /** [groups, rows] in f16, bf16 or f32. */
  scales: TensorRef;
  /** int32 [groups, rows * bits / 32]: the bits of a group's zeros follow one another along it. `format` is "i32". */
  zeros: TensorRef;
  /** What is added to stored zeros: 1 in files of checkpoint format "gptq", 0 in "gptq_v2". */
  zeroOffset: number;
  /**
   * int32 [columns], the group of each column. Groups need not be runs of columns (act-order), but all must be full, and
   * matrices that share their input must agree.
   */
  index?: TensorRef;
}

/** The weights of one decoder block. A role that the architecture lacks is absent. */
export interface LayerSpec {
  attnNorm: TensorRef;
  q: TensorRef;
  k: TensorRef;
  v: TensorRef;
  /** Biases of q, k and v (qwen2). All or none. */
  qBias?: TensorRef;
  kBias?: TensorRef;
  vBias?: TensorRef;
  /**
   * RMSNorm of a projection's own on its input, after `attnNorm` or `ffnNorm` (BitNet-embedding); length
   * embeddingLength. q, k and v have all or none, gate and up too. The output and down projections' are `attnSubNorm`
   * and `ffnSubNorm`.
   */
  qInputNorm?: TensorRef;
  kInputNorm?: TensorRef;
  vInputNorm?: TensorRef;
  gateInputNorm?: TensorRef;
  upInputNorm?: TensorRef;
  /** RMSNorm per head on q and k before RoPE (qwen3, gemma3); length headDim. */
  qNorm?: TensorRef;
  kNorm?: TensorRef;
  /** BitNet's RMSNorm before the output projection; length heads * headDim. */
  attnSubNorm?: TensorRef;
  attnOutput: TensorRef;
  /** Norm on the attention branch's output before the residual sum (gemma3). */
  attnPostNorm?: TensorRef;
  ffnNorm: TensorRef;
  gate: TensorRef;
  up: TensorRef;
  /** BitNet's RMSNorm before the down projection; length ffnLength. */
  ffnSubNorm?: TensorRef;
  down: TensorRef;
  ffnPostNorm?: TensorRef;
  /** The layer attends to the last `ModelSpec.slidingWindow` positions only, and rotates by `ModelSpec.localRope`. */
  local?: boolean;
}

export interface RopeSpec {
  /** Base of the geometric series of frequencies (10000, 500000, ...). */
  theta: number;
  /** Dimensions rotated per head; even, at most headDim. */
  dimensions: number;
  /** Multiplies positions (linear scaling): 1 = none. */
  positionScale: number;
  /** Divides each of the dimensions / 2 frequencies (Llama 3's scaling); positive. Absent: all 1. */
  factors?: number[];
  /** Multiplies cosines and sines (YaRN's attention factor); positive. Absent: 1. */
  magnitude?: number;
  /** Where `factors` and `magnitude` come from (YaRN), for those who write files; the addon does not read it. */
  yarn?: {
    factor: number;
    originalContext: number;
    betaFast: number;
    betaSlow: number;
    attentionFactor?: number;
  };
}

/**
 * A decoder-only transformer as plain data; made by lib/architectures from a file's names and hyper-parameters and
 * checked again, tensor by tensor, in C++.
 */
export interface ModelSpec {
  /** Absolute paths; memory-mapped read-only. */
  files: string[];
  architecture: string;
  vocabularySize: number;
  contextLength: number;
  embeddingLength: number;
  layerCount: number;
  headCount: number;
  headCountKv: number;
  headDim: number;
  ffnLength: number;
  rmsNormEpsilon: number;
  activation: "relu2" | "silu" | "gelu";
  rope: RopeSpec;
  /** RoPE of local layers. Absent: `rope`. */
  localRope?: RopeSpec;
  /** Positions that a local layer attends to, its own included; at least 1. Required where a layer is local. */
  slidingWindow?: number;
  /** Multiplies token embeddings (gemma: sqrt(d)); 1 = none. */
  embeddingScale: number;
  /** [vocabularySize, embeddingLength]; any dense format. */
  tokenEmbedding: TensorRef;
  outputNorm: TensorRef;
  /** Absent: the head is tied to `tokenEmbedding`. */
  output?: TensorRef;
  layers: LayerSpec[];
}

export interface CpuInfo {
  /** "x64" or "arm64". */
  arch: string;
  /** Brand string, or "unknown". */
  model: string;
  /** Feature names found at run time, for example "avx2", "avx512vnni", "dotprod". */
  features: string[];
  /** CPUs this process may run on (affinity and cgroup quota respected). */
  usableCpus: number;
  /** Physical cores among them, where the system tells; else usableCpus. */
  physicalCores: number;
}

export interface KernelInfo {
  /** "<isa>-<family>", for example "avx512-vnni-i2s". */
  name: string;
  /** "i2s", "tl1", "tl2", "tmac", ..., "group", "tmac-group". */
  family: string;
  /** "scalar", "avx2", "avx-vnni", "avx512-vnni", "amx-int8", "neon", "neon-dotprod", "neon-i8mm". */
  isa: string;
  /** "ternary" with int32 sums, or "grouped": codes of 1 to 8 bits with a scale per group, and float results. */
  weights: "ternary" | "grouped";
  /** Whether this CPU can run it. */
  available: boolean;
  /** CPU features it needs that are not there. */
  missing: string[];
  /** What the kernel is, in a sentence. */
  description: string;
}

export interface LoadOptions {
  /**
   * Kernel name ("avx2-i2s") or level ("scalar", "avx2", "avx-vnni", "avx512", "amx", "neon", "neon-dotprod",
   * "neon-i8mm"); absent or "auto": the best available. A level also selects the float operations' instruction set.
   * Matrices with scales by group take the T-MAC kernel of the level with a name of T-MAC's ("avx2-tmac2",
   * "avx2-tmac-group"), else multiply-add.
   */
  kernel?: string;
  /** Threads used to repack weights; 1 to 256. */
  threads: number;
  /**
   * Squared-ReLU models: store the down projections by input, where the instruction set has a kernel for that, so that
   * decoding skips zero inputs (default true; the same bits either way).
   */
  sparsity?: boolean;
  /** Bytes that streaming kernels prefetch ahead, 0 to 1 MiB; the best is the machine's (see the tuner). Default 2048. */
  prefetch?: number;
  /**
   * "auto" (default): a large head gets a 2-bit sketch (a 16th of f16), which finds the candidates; their logits are
   * exact, and so is the choice of them (see native/engine/head_sketch.h). "full": every logit is computed each time.
   * "sketch": small heads get one too.
   */
  head?: "auto" | "full" | "sketch";
  /**
   * Where packed weights are kept from one load to the next. A file that is absent, damaged or made from something else is
   * of no use and no error: the weights are packed then, and `writeCache` writes it.
   */
  cache?: {
    path: string;
    /** What the caller knows of the model. The layouts and samples of the source are added. At most 2000 bytes. */
    key: string;
    /**
     * true: the weights stay in the mapped file, whose pages the system can drop and read again; packing then writes the
     * file matrix by matrix. false: they are used there until `takeIn` has copied them into memory.
     */
    mapped: boolean;
    /** Of mapped weights, bytes that are copied to memory nevertheless, the head's sketch first. Default 0. */
    residentBytes?: number;
  };
  /** Called on the JavaScript thread with the share done, 0..1, at most ~50 times. */
  onProgress?: (share: number) => void;
}

/** A cancellable load: the work runs on the addon's own threads. */
export interface LoadTask {
  promise: Promise<NativeModel>;
  /** Makes `promise` reject with ERR_ABORTED soon; no effect afterwards. */
  cancel(): void;
}

/** Immutable packed weights. Contexts keep it alive; `close` frees it when the last context is closed. */
export interface NativeModel {
  /** The kernels that multiply this model's matrices: one name, or several joined by " + ". */
  readonly kernel: string;
  /** The float operations' level: "scalar", "avx2", "avx512", "neon". */
  readonly floatLevel: string;
  /** Bytes of packed ternary weights (own memory). */
  readonly packedBytes: number;
  /** Bytes read from the mapped files at run time (embedding, head, norms). */
  readonly mappedBytes: number;
  /** Ternary + head bytes one decoded token reads: what decode speed is measured against. */
  readonly bytesPerToken: number;
  /** Multiply-adds of the matrices for one prefilled token, without head and attention. */
  readonly macsPerToken: number;
  /** Whether the weights came from the packed cache. */
  readonly fromCache: boolean;
  /** Writes the packed cache, where there is one to write; rejects with ERR_FILE where that fails. */
  writeCache(): NativeTask<void>;
  /**
   * Copies weights that are used in the packed cache's mapped file into memory of their own, in huge pages, while contexts
   * may go on; nothing where there are none, or where they are meant to stay (`mapped`). Works once. Rejects with ERR_FILE
   * where the file is not what was loaded any more, as forward passes do from then on; ERR_OUT_OF_MEMORY and ERR_ABORTED
   * leave the weights in the file.
   */
  takeIn(): NativeTask<void>;
  createContext(options: ContextOptions): NativeContext;
  close(): void;
}

export interface ContextOptions {
  /** Worker threads, the engine thread included; 1 to 256. */
  threads: number;
  /** "int8": with a float scale per position and head. */
  kvType: "f32" | "f16" | "int8";
  /** KV blocks of 32 positions in the pool. */
  kvBlocks: number;
  /** Most tokens in one forward; sizes the scratch buffers. 1 to 4096. */
  maxBatchTokens: number;
  /** Longest sequence in positions; at most the model's contextLength. */
  maxSequenceLength: number;
}

/**
 * One engine thread with its worker pool, and a paged KV cache. Sequences are named by small integers. All methods are
 * called on the JavaScript thread; only `forward` does work, on the engine thread, one batch at a time, in call order.
 */
export interface NativeContext {
  /** A new empty sequence. */
  createSequence(): number;
  /** A sequence that shares the first `length` positions of `sequence` (full blocks by reference, the rest copied). */
  forkSequence(sequence: number, length: number): number;
  /** Drops positions from `length` on; frees whole blocks. Not while a forward with it runs (ERR_INVALID_ARGUMENT). */
  truncateSequence(sequence: number, length: number): void;
  /** Frees the sequence; blocks a running forward still uses are freed when it ends. Unknown ids throw. */
  releaseSequence(sequence: number): void;
  sequenceLength(sequence: number): number;
  /**
   * The keys and values of block `index` of a sequence: its positions 32 * index on, all of which must be computed. A
   * copy of `blockBytes` bytes, the same for every kernel and machine. Not while a forward with the sequence runs.
   */
  readBlock(sequence: number, index: number): Uint8Array;
  /**
   * Puts 32 positions behind a sequence whose length is a multiple of 32: bytes that `readBlock` gave for the same model
   * and kvType. Throws ERR_KV_FULL when no block is free.
   */
  appendBlock(sequence: number, bytes: Uint8Array): void;
  readonly blockBytes: number;
  readonly freeBlocks: number;
  readonly totalBlocks: number;
  /** What the shortcuts of decoding saw since the context was made; all counts. */
  readonly statistics: {
    /**
     * Outputs whose candidates came from the head's sketch; rows of its second plane and exact rows computed for them; how
     * often the whole head was needed.
     */
    sketchOutputs: number;
    sketchRowsRefined: number;
    sketchRows: number;
    sketchFallbacks: number;
    /** Gates of squared-ReLU layers seen in decoding, and how many were open. */
    gates: number;
    liveGates: number;
    /** Inputs of their down projections, and how many were not zero. */
    downInputs: number;
    liveDownInputs: number;
    /** Passes that the engine began by itself (`ForwardBatch.guess`), and those of them that were asked for then. */
    begunAhead: number;
    takenAhead: number;
  };
  /** Bytes of the KV pool and the scratch buffers. */
  readonly memoryBytes: number;
  /**
   * Appends tokens to their sequences and computes the wanted outputs. Validates and reserves KV blocks before it
   * returns: throws ERR_KV_FULL (nothing changed) when the pool has too few free blocks. On rejection the sequences
   * have the length they had before.
   */
  forward(batch: ForwardBatch): Promise<ForwardResult>;
  /** Aborts the running and queued forwards between two layers; they reject with ERR_ABORTED. */
  cancel(): void;
  /**
   * The full logits of output `index` of the last completed forward: [vocabularySize], copied. Valid until the next
   * forward is submitted. For samplers that find the candidates too few.
   */
  lastLogits(index: number): Float32Array;
  /** Aborts work, joins the threads, frees memory. Idempotent. */
  close(): void;
}

export interface ProbeResult {
  /** 1e9 bytes per second, best of several rounds. */
  gigabytesPerSecond: number;
  threads: number;
}

/** Work on a thread of the addon's own that can be stopped. */
export interface NativeTask<T> {
  promise: Promise<T>;
  /** Makes `promise` reject with ERR_ABORTED soon; no effect afterwards. */
  cancel(): void;
}

/** Weights (code - zero) * scale with a scale for each group of columns. */
export interface GroupScales {
  /** Columns that share a scale, a multiple of 16. */
  group: number;
  /** Of a code: 1 (which stands for -1 and +1), 2, 3, 4 or 8. */
  bits: number;
  /** Whether each group has a zero of its own. */
  zeroPoints?: boolean;
}

/** Matrices of one shape in a model. */
export interface MatrixShape {
  /** Output features, 1 to 2^24. */
  rows: number;
  /** Input features, 1 to 262144. */
  columns: number;
  /** How many there are. */
  count: number;
  /** Absent: ternary. */
  scales?: GroupScales;
}

export interface TuneRequest {
  /** All ternary, or all with scales by group. */
  shapes: MatrixShape[];
  /** Threads that will compute, 1 to 256. */
  threads: number;
  /** Names of the candidates. Absent: all that are available, scalar ones only where there is no other. */
  kernels?: string[];
  /** Most memory in use at a time. Default 384 MiB. */
  memoryBytes?: number;
  /** Time after which no further round is started. Default 1500. */
  milliseconds?: number;
  /** Called on the JavaScript thread with the share done, 0..1. */
  onProgress?: (share: number) => void;
}

/** What a kernel was measured at; without times where a first look ruled it out. */
export interface TuneMeasurement {
  kernel: string;
  /** The best prefetch distance for this kernel, in bytes. */
  prefetch: number;
  /** All matrices of the shapes, one token, weights from memory. */
  decodeMicroseconds?: number;
  /** All matrices of the shapes, per token of a large batch. */
  prefillMicroseconds?: number;
}

export interface TuneResult {
  /** The kernel with the least decode + prefill time; of those within 3 %, the simplest. */
  kernel: string;
  prefetch: number;
  measurements: TuneMeasurement[];
}

export interface FormatInfo {
  name: string;
  /** Whether its matrices can be ternary with one scale a row. */
  ternary: boolean;
  /** Whether it can be an embedding or a head. */
  dense: boolean;
  /** Of formats with a scale per group of columns; `group` is absent where the file tells it. */
  scales?: Omit<GroupScales, "group"> & { group?: number };
}

export interface Addon {
  /** Version of the package the binary was built from. */
  readonly version: string;
  /** Every WeightFormat the binary reads, with what it can serve. */
  formats(): FormatInfo[];
  cpu(): CpuInfo;
  kernels(): KernelInfo[];
  loadModel(spec: ModelSpec, options: LoadOptions): LoadTask;
  /** Streams over `bytes` of memory with `threads` threads and reports the read bandwidth. */
  probeBandwidth(bytes: number, threads: number): Promise<ProbeResult>;
  /** Times a loop of nothing but dot products for each instruction set of this CPU that has kernels beyond scalar. */
  probeDotProducts(threads: number): NativeTask<DotProductProbe[]>;
  /** Times the kernels on this machine for a model's shapes and chooses one. */
  tune(request: TuneRequest): NativeTask<TuneResult>;
  /** Times one kernel on one shape and checks what it computed. */
  benchKernel(request: KernelBenchRequest): NativeTask<KernelBenchResult>;
  /** Resident set peak of the process in bytes (VmHWM). */
  peakMemoryBytes(): number;
}
