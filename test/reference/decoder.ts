/**
 * A decoder-only transformer with ternary projections in float64, written from the papers' definitions and in their
 * order: slow, plain, and sharing nothing with the engine. Architectures (bitnet.ts) describe their weights as a
 * `DecoderWeights`; what a new one needs besides goes here as another optional field.
 *
 * BitNet b1.58: Ma et al. 2024 and the 2B4T report (2025). RMSNorm: Zhang & Sennrich 2019. RoPE: Su et al. 2021, with
 * the half-split pairing of GPT-NeoX. Grouped-query attention: Ainslie et al. 2023.
 */
import { halfTieDistance, roundHalfEven, roundToHalf } from "./numbers";
import type { DenseMatrix, GroupedMatrix, TernaryMatrix } from "./weights";

/** One decoder block. */
export interface LayerWeights {
  attentionNorm: Float64Array;
  query: TernaryMatrix;
  key: TernaryMatrix;
  value: TernaryMatrix;
  /** RMSNorm in front of the output projection. */
  attentionSubNorm?: Float64Array;
  attentionOutput: TernaryMatrix;
  ffnNorm: Float64Array;
  gate: TernaryMatrix;
  up: TernaryMatrix;
  /** RMSNorm in front of the down projection. */
  ffnSubNorm?: Float64Array;
  down: TernaryMatrix;
  /** Biases of query, key and value (qwen2). */
  queryBias?: Float64Array;
  keyBias?: Float64Array;
  valueBias?: Float64Array;
  /** RMSNorm of each head of query and key, before RoPE (qwen3, gemma3). */
  queryNorm?: Float64Array;
  keyNorm?: Float64Array;
  /** RMSNorm of what attention and FFN add to the hidden state (gemma3). */
  attentionPostNorm?: Float64Array;
  ffnPostNorm?: Float64Array;
  /** RMSNorm of a projection's own on its input, after the block's (BitNet-embedding). */
  queryInputNorm?: Float64Array;
  keyInputNorm?: Float64Array;
  valueInputNorm?: Float64Array;
  gateInputNorm?: Float64Array;
  upInputNorm?: Float64Array;
  /** Positions attended to, the token's own included; absent: all. */
  window?: number;
  /** RoPE base of this layer; absent: the model's. */
  ropeTheta?: number;
}

/** A whole model. */
export interface DecoderWeights {
  headCount: number;
  headCountKv: number;
  headDim: number;
  ropeTheta: number;
  epsilon: number;
  activation: "relu2" | "silu" | "gelu";
  /** Multiplies embeddings. */
  embeddingScale?: number;
  /** Divides the frequencies of RoPE. */
  ropeFactors?: readonly number[];
  /** Multiplies cosines and sines (YaRN). */
  ropeMagnitude?: number;
  /** RoPE turns neighbours (2i, 2i + 1) in place of halves: llama-type GGUF files. */
  ropeNeighbours?: boolean;
  embedding: DenseMatrix;
  /** The embedding itself where the head is tied. */
  head: DenseMatrix;
  outputNorm: Float64Array;
  layers: LayerWeights[];
}

/** How values are rounded on the way; by default not at all. */
export interface DecoderOptions {
  /** Rounds keys and values as a KV cache of this type does. */
  kv?: "f64" | "f32" | "f16" | "int8";
  /** "f32" rounds every stored activation to float32: shows how far float32 engines may differ. */
  activations?: "f64" | "f32";
}

/** The result of one token. */
export interface StepResult {
  /** [vocabulary] */
  logits: Float64Array;
  /** Least distance of any activation from a rounding tie, in int8 steps: 0 at a tie, at most 0.5. */
  tieDistance: number;
  /**
   * The same of keys and values with `kv: "f16"` or `"int8"`, in steps of that type at the value; with int8 of queries and
   * weights too; else 0.5. */
  kvTieDistance: number;
}

/** What `push` demands of a token, so that float32 noise cannot flip a rounding. */
export interface TieLimits {
  /** Least `tieDistance`. */
  activations: number;
  /** Least `kvTieDistance`. */
  kv?: number;
}

interface LayerCache {
  keys: Float64Array[];
  values: Float64Array[];
}

const activations: Record<DecoderWeights["activation"], (x: number) => number> = {
  relu2: (x) => Math.max(x, 0) ** 2,
  silu: (x) => x / (1 + Math.exp(-x)),
  // Hendrycks & Gimpel 2016, the tanh form.
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

const kvRounding: Record<Exclude<DecoderOptions["kv"], "int8" | undefined>, (x: number) => number> = {
  f64: (x) => x,
  f32: Math.fround,
  f16: roundToHalf,
};

/** x / sqrt(mean(x^2) + epsilon) * weight */
export function rmsNorm(x: Float64Array, weight: Float64Array, epsilon: number): Float64Array {
  let squares = 0;
  for (const value of x) squares += value * value;
  const factor = 1 / Math.sqrt(squares / x.length + epsilon);
  return x.map((value, i) => value * factor * weight[i]!);
}

/** Activations of one token as int8 codes: x is about codes / scale. */
export interface QuantisedActivations {
  codes: Int32Array;
  scale: number;
  tieDistance: number;
}

/** Per-token absolute-maximum quantisation: scale = 127 / max(|x|, 1e-5), rounded half to even, clamped to int8. */
export function quantise(x: Float64Array): QuantisedActivations {
  let maximum = 1e-5;
  for (const value of x) maximum = Math.max(maximum, Math.abs(value));
  const scale = 127 / maximum;
  const codes = new Int32Array(x.length);
  let tieDistance = 0.5;
  for (let i = 0; i < x.length; i++) {
    const steps = x[i]! * scale;
    codes[i] = Math.max(-128, Math.min(127, roundHalfEven(steps)));
    tieDistance = Math.min(tieDistance, Math.abs(steps - Math.floor(steps) - 0.5));
  }
  return { codes, scale, tieDistance };
}

/** The same with a scale for every group of columns. */
function projectGroups({ rows, columns, codes, groups }: GroupedMatrix, x: QuantisedActivations): Float64Array {
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let total = 0;
    for (let column = 0, at = row * columns; column < columns; column++, at++) {
      total += codes[at]! * x.codes[column]! * groups.scales[Math.floor(at / groups.columns)]!;
    }
    result[row] = total / x.scale;
  }
  return result;
}

/** W x over quantised activations: an exact integer sum, then both scales. */
export function project(matrix: TernaryMatrix, x: QuantisedActivations): Float64Array {
  const { rows, columns, codes, groups } = matrix;
  if (x.codes.length !== columns) throw new Error(`a matrix of ${columns} columns meets ${x.codes.length} activations`);
  if (groups) return projectGroups({ rows, columns, codes, groups }, x);
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    // |sum| <= 128 * columns stays far inside int32; `| 0` only tells the compiler so.
    for (let column = 0, at = row * columns; column < columns; column++, at++) {
      sum = (sum + codes[at]! * x.codes[column]!) | 0;
    }
    result[row] = (sum / x.scale) * matrix.scale;
  }
  return result;
}

/** What RoPE may do besides. */
export interface RopeOptions {
  /** Divides frequency i. */
  factors?: readonly number[];
  /** Multiplies cosines and sines. */
  magnitude?: number;
  /** Element 2 i turns with 2 i + 1. */
  neighbours?: boolean;
}

/** Rotates element i with element i + headDim / 2 of every head by position * theta^(-2 i / headDim). */
export function rope(
  x: Float64Array,
  headDim: number,
  position: number,
  theta: number,
  { factors, magnitude = 1, neighbours }: RopeOptions = {},
): Float64Array {
  const half = headDim / 2;
  const result = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = (position * theta ** ((-2 * i) / headDim)) / (factors?.[i] ?? 1);
      const [at, to] = neighbours ? [start + 2 * i, start + 2 * i + 1] : [start + i, start + half + i];
      const first = x[at]!;
      const second = x[to]!;
      result[at] = magnitude * (first * Math.cos(angle) - second * Math.sin(angle));
      result[to] = magnitude * (second * Math.cos(angle) + first * Math.sin(angle));
    }
  }
  return result;
}

function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aStart + i]! * b[bStart + i]!;
  return sum;
}

/** softmax(q k / sqrt(headDim)) v of one query over all cached positions; consecutive query heads share a KV head. */
export function attend(query: Float64Array, cache: LayerCache, headCountKv: number, headDim: number): Float64Array {
  const headCount = query.length / headDim;
  const result = new Float64Array(query.length);
  for (let head = 0; head < headCount; head++) {
    const at = head * headDim;
    const kvAt = Math.floor(head / (headCount / headCountKv)) * headDim;
    const scores = cache.keys.map((key) => dot(query, at, key, kvAt, headDim) / Math.sqrt(headDim));
    const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const exponentials = scores.map((score) => Math.exp(score - highest));
    const total = exponentials.reduce((a, b) => a + b, 0);
    cache.values.forEach((value, position) => {
      const share = exponentials[position]! / total;
      for (let i = 0; i < headDim; i++) result[at + i] = result[at + i]! + share * value[kvAt + i]!;
    });
  }
  return result;
}

/** Codes of numbers between -limit and limit, for the largest magnitude among them, with the least distance from a tie. */
function coded(x: Float64Array, limit: number): { step: number; codes: Float64Array; tieDistance: number } {
  const step = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / limit;
  let tieDistance = 0.5;
  const codes = x.map((value) => {
    const steps = step > 0 ? value / step : 0;
    tieDistance = Math.min(tieDistance, Math.abs(steps - Math.floor(steps) - 0.5));
    return roundHalfEven(steps);
  });
  return { step, codes, tieDistance };
}

/** Positions whose weights share a scale in attention over int8 keys and values. */
const WEIGHT_SPAN = 64;

/**
 * The same over int8 keys and values: queries have 127 steps to either side of 0, a head each, and so have values; weights,
 * which are exponentials times the steps of their values, 255 in each 64 positions.
 * @param first the position that `cache` begins with
 */
export function attendInt8(
  query: Float64Array,
  cache: LayerCache,
  headCountKv: number,
  headDim: number,
  first: number,
): { mixed: Float64Array; tieDistance: number } {
  const mixed = new Float64Array(query.length);
  const headCount = query.length / headDim;
  let tieDistance = 0.5;
  for (let head = 0; head < headCount; head++) {
    const at = head * headDim;
    const kvAt = Math.floor(head / (headCount / headCountKv)) * headDim;
    const q = coded(query.slice(at, at + headDim), 127);
    tieDistance = Math.min(tieDistance, q.tieDistance);
    const scores = cache.keys.map((key) => (dot(q.codes, 0, key, kvAt, headDim) * q.step) / Math.sqrt(headDim));
    const highest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const exponentials = scores.map((score) => Math.exp(score - highest));
    const total = exponentials.reduce((a, b) => a + b, 0);
    const values = cache.values.map((value) => value.slice(kvAt, kvAt + headDim));
    const steps = values.map((value) => coded(value, 127).step);
    for (
      let begin = Math.floor(first / WEIGHT_SPAN) * WEIGHT_SPAN - first;
      begin < values.length;
      begin += WEIGHT_SPAN
    ) {
      const from = Math.max(begin, 0);
      const weights = coded(
        Float64Array.from(exponentials.slice(from, begin + WEIGHT_SPAN), (e, i) => e * steps[from + i]!),
        255,
      );
      tieDistance = Math.min(tieDistance, weights.tieDistance);
      weights.codes.forEach((code, i) => {
        const step = steps[from + i]!;
        const share = step > 0 ? (code * weights.step) / step / total : 0;
        for (let d = 0; d < headDim; d++) mixed[at + d] = mixed[at + d]! + share * values[from + i]![d]!;
      });
    }
  }
  return { mixed, tieDistance };
}

/** Tokens seen so far, with their keys and values. */
export class ReferenceSequence {
  private readonly caches: LayerCache[];
  private readonly store: (x: Float64Array) => Float64Array;
  private readonly kv: NonNullable<DecoderOptions["kv"]>;
  private count = 0;
  private tieDistance = 0.5;
  private kvTieDistance = 0.5;

  constructor(
    private readonly weights: DecoderWeights,
    options: DecoderOptions = {},
  ) {
    this.caches = weights.layers.map(() => ({ keys: [], values: [] }));
    this.kv = options.kv ?? "f64";
    this.store = options.activations === "f32" ? (x) => x.map(Math.fround) : (x) => x;
  }

  get length(): number {
    return this.count;
  }

  /** Forgets positions from `length` on. */
  truncate(length: number): void {
    for (const cache of this.caches) {
      cache.keys.length = Math.min(cache.keys.length, length);
      cache.values.length = Math.min(cache.values.length, length);
    }
    this.count = Math.min(this.count, length);
  }

  /** Appends a token. With limits, gives up (undefined, sequence unchanged) where a rounding lies nearer to a tie. */
  push(token: number): StepResult;
  push(token: number, limits: TieLimits): StepResult | undefined;
  push(token: number, limits: TieLimits = { activations: 0 }): StepResult | undefined {
    const { weights } = this;
    const { columns, rows, values } = weights.embedding;
    if (!Number.isInteger(token) || token < 0 || token >= rows) throw new RangeError(`token ${token} of ${rows}`);
    this.tieDistance = 0.5;
    this.kvTieDistance = 0.5;
    const { embeddingScale = 1 } = weights;
    let hidden = this.store(values.slice(token * columns, (token + 1) * columns).map((x) => x * embeddingScale));
    for (let layer = 0; layer < weights.layers.length; layer++) {
      hidden = this.block(layer, hidden);
      if (this.tieDistance < limits.activations || this.kvTieDistance < (limits.kv ?? 0)) {
        this.truncate(this.count);
        return undefined;
      }
    }
    this.count += 1;
    const normed = this.store(rmsNorm(hidden, weights.outputNorm, weights.epsilon));
    const logits = new Float64Array(weights.head.rows);
    for (let row = 0; row < logits.length; row++) {
      logits[row] = dot(weights.head.values, row * columns, normed, 0, columns);
    }
    return { logits: this.store(logits), tieDistance: this.tieDistance, kvTieDistance: this.kvTieDistance };
  }

  /** h += Wo sub(attention(n)); h += Wdown sub(act(Wgate n) * Wup n); n = RMSNorm(h) before each. */
  private block(layer: number, input: Float64Array): Float64Array {
    const { weights, store } = this;
    const w = weights.layers[layer]!;
    const cache = this.caches[layer]!;
    const { epsilon, headDim } = weights;
    const theta = w.ropeTheta ?? weights.ropeTheta;
    const turn: RopeOptions = {
      factors: weights.ropeFactors ?? [],
      magnitude: weights.ropeMagnitude ?? 1,
      neighbours: weights.ropeNeighbours ?? false,
    };
    const own = (x: Float64Array, norm?: Float64Array): QuantisedActivations =>
      this.quantise(norm ? store(rmsNorm(x, norm, epsilon)) : x);
    const heads = (x: Float64Array, norm?: Float64Array): Float64Array => {
      if (!norm) return x;
      const parts = Array.from({ length: x.length / headDim }, (_, i) => x.slice(i * headDim, (i + 1) * headDim));
      return store(Float64Array.from(parts.flatMap((part) => [...rmsNorm(part, norm, epsilon)])));
    };

    const normed = store(rmsNorm(input, w.attentionNorm, epsilon));
    const query = store(biased(project(w.query, own(normed, w.queryInputNorm)), w.queryBias));
    const key = store(biased(project(w.key, own(normed, w.keyInputNorm)), w.keyBias));
    const value = store(biased(project(w.value, own(normed, w.valueInputNorm)), w.valueBias));
    const turned = store(rope(heads(query, w.queryNorm), headDim, this.count, theta, turn));
    cache.keys.push(this.storeKv(store(rope(heads(key, w.keyNorm), headDim, this.count, theta, turn))));
    cache.values.push(this.storeKv(value));
    const first = Math.max(0, cache.keys.length - (w.window ?? Infinity));
    const seen = { keys: cache.keys.slice(first), values: cache.values.slice(first) };
    let mixed = store(this.attend(turned, seen, first));
    if (w.attentionSubNorm) mixed = store(rmsNorm(mixed, w.attentionSubNorm, epsilon));
    let branch = store(project(w.attentionOutput, this.quantise(mixed)));
    if (w.attentionPostNorm) branch = store(rmsNorm(branch, w.attentionPostNorm, epsilon));
    const middle = store(add(input, branch));

    const ffnInput = store(rmsNorm(middle, w.ffnNorm, epsilon));
    const up = store(project(w.up, own(ffnInput, w.upInputNorm)));
    const activate = activations[weights.activation];
    const gates = store(project(w.gate, own(ffnInput, w.gateInputNorm)));
    let gated = store(gates.map((gate, i) => activate(gate) * up[i]!));
    if (w.ffnSubNorm) gated = store(rmsNorm(gated, w.ffnSubNorm, epsilon));
    let result = store(project(w.down, this.quantise(gated)));
    if (w.ffnPostNorm) result = store(rmsNorm(result, w.ffnPostNorm, epsilon));
    return store(add(middle, result));
  }

  private quantise(x: Float64Array): QuantisedActivations {
    const result = quantise(x);
    this.tieDistance = Math.min(this.tieDistance, result.tieDistance);
    return result;
  }

  private attend(query: Float64Array, seen: LayerCache, first: number): Float64Array {
    const { headCountKv, headDim } = this.weights;
    if (this.kv !== "int8") return attend(query, seen, headCountKv, headDim);
    const { mixed, tieDistance } = attendInt8(query, seen, headCountKv, headDim, first);
    this.kvTieDistance = Math.min(this.kvTieDistance, tieDistance);
    return mixed;
  }

  private storeKv(x: Float64Array): Float64Array {
    if (this.kv === "f16") {
      for (const value of x) this.kvTieDistance = Math.min(this.kvTieDistance, halfTieDistance(value));
    }
    if (this.kv === "int8") return this.storeInt8(x);
    return x.map(kvRounding[this.kv]);
  }

  /** Each head by itself in 127 steps to either side of 0; the scale is kept as float32. */
  private storeInt8(x: Float64Array): Float64Array {
    const result = new Float64Array(x.length);
    const { headDim } = this.weights;
    for (let at = 0; at < x.length; at += headDim) {
      const { step, codes, tieDistance } = coded(x.subarray(at, at + headDim), 127);
      this.kvTieDistance = Math.min(this.kvTieDistance, tieDistance);
      result.set(
        codes.map((code) => code * Math.fround(step)),
        at,
      );
    }
    return result;
  }
}

function biased(x: Float64Array, bias?: Float64Array): Float64Array {
  return bias ? add(x, bias) : x;
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}
