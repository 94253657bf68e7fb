import { ConversionError } from "../errors";

/** Floating-point types that weights come in. */
export type FloatDtype = "F32" | "F16" | "BF16";

const scratch = new DataView(new ArrayBuffer(4));

/** Bits of a number rounded to bfloat16, to nearest even. NaN stays NaN. */
export function toBfloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of a number rounded to IEEE half precision, to nearest even, subnormals kept. Values from 65520 on give infinity. */
export function toFloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // Rebias the exponent by 112 and round the 13 dropped bits; a carry runs into the exponent, rightly.
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign;
  // Subnormal: a multiple of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const half = mantissa >>> shift;
  const dropped = mantissa & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  const up = dropped > middle || (dropped === middle && (half & 1) === 1) ? 1 : 0;
  return sign | (half + up);
}

let halves: Float32Array | undefined;

/** All half-precision numbers by their bits. */
function halfTable(): Float32Array {
  return (halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => fromFloat16(bits)));
}

/** The number that half-precision bits stand for. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Numbers of little-endian bytes of a float dtype. */
export function decodeFloats(dtype: FloatDtype, bytes: Buffer): Float32Array {
  if (dtype === "F32") {
    const floats = new Float32Array(bytes.length / 4);
    new Uint8Array(floats.buffer).set(bytes);
    return floats;
  }
  const floats = new Float32Array(bytes.length / 2);
  if (dtype === "BF16") {
    const words = new Uint32Array(floats.buffer);
    for (let i = 0; i < words.length; i++) words[i] = ((bytes[2 * i] ?? 0) << 16) | ((bytes[2 * i + 1] ?? 0) << 24);
    return floats;
  }
  const table = halfTable();
  for (let i = 0; i < floats.length; i++)
    floats[i] = table[(bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8)] ?? NaN;
  return floats;
}

/** What rounding to a narrower type cost. */
export interface RoundingReport {
  /** Values that the target type cannot hold exactly. */
  inexact: number;
  /** Largest absolute difference. */
  maxError: number;
}

/** Little-endian bytes of numbers in a dense format; adds to `report`. `what` names the tensor in errors. */
export function encodeFloats(
  floats: Float32Array,
  format: "f32" | "f16" | "bf16",
  report: RoundingReport,
  what: string,
): Uint8Array {
  const broken = floats.find((value) => !Number.isFinite(value));
  if (broken !== undefined) throw new ConversionError(`Tensor "${what}" holds ${broken}. The model is damaged.`);
  if (format === "f32") return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  const words = new Uint16Array(floats.length);
  const encode = format === "f16" ? toFloat16 : toBfloat16;
  for (let i = 0; i < floats.length; i++) words[i] = encode(floats[i] ?? 0);
  const decoded = decodeFloats(format === "f16" ? "F16" : "BF16", Buffer.from(words.buffer));
  for (let i = 0; i < floats.length; i++) {
    const error = Math.abs((decoded[i] ?? 0) - (floats[i] ?? 0));
    if (error === 0) continue;
    report.inexact++;
    report.maxError = Math.max(report.maxError, error);
  }
  if (report.maxError === Infinity) {
    throw new ConversionError(`Tensor "${what}" holds values too large for ${format}. Choose the type f32 for it.`);
  }
  return new Uint8Array(words.buffer);
}
