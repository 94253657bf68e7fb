import { ConversionError, UnsupportedModelError } from "../errors";
import { encodeFloats, fromFloat16, toFloat16, type RoundingReport } from "./floats";
import { TERNARY_TYPES } from "./packing";
import { readUnpacked } from "./unpacked";

/** Formats an embedding or head can be written in. */
export type DenseFormat = "f32" | "f16" | "bf16" | "q8_0" | "q6_k" | "q2_0";

/** Writes rows of floats in a format; adds to the report what that costs. */
type Encode = (floats: Float32Array, columns: number, report: RoundingReport, what: string) => Uint8Array;

interface DenseType {
  /** Name among the tensor types. */
  tensorType: string;
  /** Columns must be a multiple of it. */
  block: number;
  encode: Encode;
}

const plain =
  (format: "f32" | "f16" | "bf16"): Encode =>
  (floats, _columns, report, what) =>
    encodeFloats(floats, format, report, what);

/** Every format by the name that users choose. */
export const DENSE_TYPES: Readonly<Record<DenseFormat, DenseType>> = {
  f16: { tensorType: "f16", block: 1, encode: plain("f16") },
  bf16: { tensorType: "bf16", block: 1, encode: plain("bf16") },
  f32: { tensorType: "f32", block: 1, encode: plain("f32") },
  q8_0: { tensorType: "q8_0", block: 32, encode: blocks(32, 34, encodeQ8) },
  q6_k: { tensorType: "q6_k", block: 256, encode: blocks(256, 210, encodeQ6) },
  q2_0: { tensorType: "q2_0_g64", block: 64, encode: encodeQ2 },
};

/** @throws UnsupportedModelError where rows have no whole blocks */
export function checkDense(format: DenseFormat, name: string, columns: number): void {
  const { block } = DENSE_TYPES[format];
  if (columns % block === 0) return;
  throw new UnsupportedModelError(
    `Tensor "${name}" has rows of ${columns}; ${format} needs a multiple of ${block}. Choose f16, bf16 or f32.`,
  );
}

/** Encodes a block's values, and tells what each then is. */
type EncodeBlock = (values: Float32Array, out: Uint8Array, view: DataView, decoded: Float32Array) => void;

function blocks(size: number, bytes: number, encode: EncodeBlock): Encode {
  const decoded = new Float32Array(size);
  return (floats, _columns, report, what) => {
    const out = new Uint8Array((floats.length / size) * bytes);
    for (let at = 0, to = 0; at < floats.length; at += size, to += bytes) {
      const values = floats.subarray(at, at + size);
      if (!values.every(Number.isFinite)) {
        throw new ConversionError(`Tensor "${what}" holds a value that is no finite number. The model is damaged.`);
      }
      encode(values, out.subarray(to, to + bytes), new DataView(out.buffer, to, bytes), decoded);
      for (const [i, value] of values.entries()) {
        const error = Math.abs(value - (decoded[i] ?? 0));
        if (error === 0) continue;
        report.inexact++;
        report.maxError = Math.max(report.maxError, error);
      }
    }
    if (!Number.isFinite(report.maxError)) {
      throw new ConversionError(`Tensor "${what}" holds values too large for half-precision scales. Choose f32.`);
    }
    return out;
  };
}

/** Q8_0: a half-precision scale, then 32 signed bytes. */
function encodeQ8(values: Float32Array, out: Uint8Array, view: DataView, decoded: Float32Array): void {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const bits = toFloat16(largest / 127);
  const scale = fromFloat16(bits);
  view.setUint16(0, bits, true);
  for (const [i, value] of values.entries()) {
    const code = scale === 0 ? 0 : clamp(Math.round(value / scale), -127, 127);
    out[2 + i] = code & 255;
    decoded[i] = code * scale;
  }
}

/** Scales that are tried around the one that takes the largest value to the end of the range. */
const TRIALS = 9;

/**
 * Q6_K: 16 groups of 16 codes from -32 to 31, each group with a signed byte as scale, all with one half-precision factor.
 * Groups' scales are those of least squared error among several, large values counting more.
 */
function encodeQ6(values: Float32Array, out: Uint8Array, view: DataView, decoded: Float32Array): void {
  const scales = new Float64Array(16);
  let widest = 0;
  for (let g = 0; g < 16; g++) {
    const scale = bestScale(values.subarray(16 * g, 16 * g + 16));
    scales[g] = scale;
    if (Math.abs(scale) > Math.abs(widest)) widest = scale;
  }
  const bits = toFloat16(widest / -128);
  const factor = fromFloat16(bits);
  view.setUint16(208, bits, true);
  for (let g = 0; g < 16; g++) {
    const steps = factor === 0 ? 0 : clamp(Math.round((scales[g] ?? 0) / factor), -128, 127);
    out[192 + g] = steps & 255;
    const scale = factor * steps;
    for (let i = 16 * g; i < 16 * g + 16; i++) {
      const code = scale === 0 ? 0 : clamp(Math.round((values[i] ?? 0) / scale), -32, 31);
      decoded[i] = code * scale;
      storeQ6(out, i, code + 32);
    }
  }
}

/** Halves of 128, each 64 bytes of nibbles and 32 of high bit pairs; a half's quarter q has its bits at 2 q. */
function storeQ6(out: Uint8Array, i: number, code: number): void {
  const half = i >> 7;
  const quarter = (i >> 5) & 3;
  const lane = i & 31;
  const low = half * 64 + (quarter & 1) * 32 + lane;
  const high = 128 + half * 32 + lane;
  out[low] = (out[low] ?? 0) | ((code & 15) << (quarter < 2 ? 0 : 4));
  out[high] = (out[high] ?? 0) | ((code >> 4) << (2 * quarter));
}

function bestScale(values: Float32Array): number {
  let extreme = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  if (extreme === 0) return 0;
  let best = 0;
  let most = 0;
  for (let trial = -TRIALS; trial <= TRIALS; trial++) {
    const inverse = -(32 + 0.1 * trial) / extreme;
    let [cross, squares] = [0, 0];
    for (const value of values) {
      const code = clamp(Math.round(value * inverse), -32, 31);
      const weight = value * value;
      cross += weight * value * code;
      squares += weight * code * code;
    }
    // With the least-squares scale cross / squares the error falls by cross^2 / squares.
    const gain = squares > 0 ? (cross * cross) / squares : 0;
    if (gain > most) [best, most] = [cross / squares, gain];
  }
  return best;
}

/** Q2_0 holds ternary values only: those of embeddings that were trained so. */
function encodeQ2(floats: Float32Array, columns: number, report: RoundingReport, what: string): Uint8Array {
  const { block, pack } = TERNARY_TYPES.q2_0.packing(columns);
  const { codes, scales } = readUnpacked(floats, columns, block, what);
  for (const scale of scales) {
    const error = Math.abs(fromFloat16(toFloat16(scale)) - scale);
    if (error === 0) continue;
    report.inexact += block;
    report.maxError = Math.max(report.maxError, error);
  }
  return pack(codes, (i) => scales[i] ?? 0, 0);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
