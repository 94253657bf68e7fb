import type { LayerSpec, ModelSpec, RopeSpec, TensorRef } from "../../types/addon";
import type { Role } from "./roles";

/** Finds tensors by their role in one kind of file, checks shapes, and knows which nobody asked for. */
export interface TensorFinder {
  /** Absolute paths; `TensorRef.file` counts them. */
  readonly files: readonly string[];
  has(role: Role, layer?: number): boolean;
  /** A norm's weights or a bias. */
  vector(role: Role, length: number, layer?: number): TensorRef;
  /** A ternary matrix. */
  ternary(role: Role, rows: number, columns: number, layer?: number): TensorRef;
  /** An embedding or head. */
  dense(role: Role, rows: number, columns: number): TensorRef;
  /** @throws UnsupportedModelError naming tensors that were never taken. */
  finish(): void;
}

/** Hyper-parameters of a decoder, and which parts its blocks have. */
export interface DecoderShape {
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
  activation: ModelSpec["activation"];
  rope: RopeSpec;
  localRope?: RopeSpec;
  slidingWindow?: number;
  /** Which layers attend within the window; absent: none. */
  isLocal?: (layer: number) => boolean;
  /** Default 1. */
  embeddingScale?: number;
  /** Norms before the output and down projections. */
  subNorms?: boolean;
  /** Norms per head on q and k. */
  qkNorms?: boolean;
  /** Norms behind attention and FFN. */
  postNorms?: boolean;
  /** Biases of q, k and v. */
  biases?: boolean;
  /** Norms on the input of each projection, where the file has them. */
  inputNorms?: "where-present";
  /** Added to the weights of every norm but those on projections' inputs. */
  normAddend?: number;
  /** q and k rows are stored interleaved: see `TensorRef.unpermuteHeads`. */
  permuted?: boolean;
  /** "where-present": tied where the file has no head. */
  head: "tied" | "own" | "where-present";
}

/**
 * The specification of a decoder whose tensors `find` finds.
 * @throws ModelFormatError for missing tensors and wrong shapes, UnsupportedModelError for tensors without a role.
 */
export function describeDecoder(shape: DecoderShape, find: TensorFinder): ModelSpec {
  const { vocabularySize, embeddingLength: width, layerCount } = shape;
  const layers: LayerSpec[] = [];
  for (let i = 0; i < layerCount; i++) layers.push(describeLayer(shape, find, i));
  const ownHead = shape.head === "own" || (shape.head === "where-present" && find.has("output"));
  const spec: ModelSpec = {
    files: [...find.files],
    architecture: shape.architecture,
    vocabularySize,
    contextLength: shape.contextLength,
    embeddingLength: width,
    layerCount,
    headCount: shape.headCount,
    headCountKv: shape.headCountKv,
    headDim: shape.headDim,
    ffnLength: shape.ffnLength,
    rmsNormEpsilon: shape.rmsNormEpsilon,
    activation: shape.activation,
    rope: shape.rope,
    ...(shape.localRope ? { localRope: shape.localRope } : {}),
    ...(shape.slidingWindow === undefined ? {} : { slidingWindow: shape.slidingWindow }),
    embeddingScale: shape.embeddingScale ?? 1,
    tokenEmbedding: find.dense("tokenEmbedding", vocabularySize, width),
    outputNorm: withAddend(find.vector("outputNorm", width), shape),
    ...(ownHead ? { output: find.dense("output", vocabularySize, width) } : {}),
    layers,
  };
  find.finish();
  return spec;
}

function describeLayer(shape: DecoderShape, find: TensorFinder, i: number): LayerSpec {
  const { embeddingLength: width, ffnLength, headCount, headCountKv, headDim } = shape;
  const queries = headCount * headDim;
  const keys = headCountKv * headDim;
  const inputNorms = shape.inputNorms !== undefined && find.has("qInputNorm", i);
  const norm = (role: Role, length: number): TensorRef => withAddend(find.vector(role, length, i), shape);
  const plain = (role: Role, length: number): TensorRef => find.vector(role, length, i);
  const permuted = (tensor: TensorRef, heads: number): TensorRef =>
    shape.permuted ? { ...tensor, unpermuteHeads: heads } : tensor;
  // A norm on the input of the output or down projection is the sub-norm.
  const subNorm = (role: Role, length: number): TensorRef | undefined =>
    inputNorms ? plain(role, length) : shape.subNorms ? norm(role, length) : undefined;
  // In the order in which a decoder reads them, which is that of converted files.
  return present<LayerSpec>({
    attnNorm: norm("attnNorm", width),
    qInputNorm: inputNorms ? plain("qInputNorm", width) : undefined,
    kInputNorm: inputNorms ? plain("kInputNorm", width) : undefined,
    vInputNorm: inputNorms ? plain("vInputNorm", width) : undefined,
    q: permuted(find.ternary("q", queries, width, i), headCount),
    k: permuted(find.ternary("k", keys, width, i), headCountKv),
    v: find.ternary("v", keys, width, i),
    qBias: shape.biases ? plain("qBias", queries) : undefined,
    kBias: shape.biases ? plain("kBias", keys) : undefined,
    vBias: shape.biases ? plain("vBias", keys) : undefined,
    qNorm: shape.qkNorms ? norm("qNorm", headDim) : undefined,
    kNorm: shape.qkNorms ? norm("kNorm", headDim) : undefined,
    attnSubNorm: subNorm("attnSubNorm", queries),
    attnOutput: find.ternary("attnOutput", width, queries, i),
    attnPostNorm: shape.postNorms ? norm("attnPostNorm", width) : undefined,
    ffnNorm: norm("ffnNorm", width),
    gateInputNorm: inputNorms ? plain("gateInputNorm", width) : undefined,
    upInputNorm: inputNorms ? plain("upInputNorm", width) : undefined,
    gate: find.ternary("gate", ffnLength, width, i),
    up: find.ternary("up", ffnLength, width, i),
    ffnSubNorm: subNorm("ffnSubNorm", ffnLength),
    down: find.ternary("down", width, ffnLength, i),
    ffnPostNorm: shape.postNorms ? norm("ffnPostNorm", width) : undefined,
    local: shape.isLocal?.(i) ? true : undefined,
  });
}

/** Without the properties that are undefined. */
function present<T extends object>(values: { [K in keyof T]-?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function withAddend(tensor: TensorRef, { normAddend }: DecoderShape): TensorRef {
  return normAddend ? { ...tensor, add: normAddend } : tensor;
}
