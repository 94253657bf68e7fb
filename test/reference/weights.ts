/** Weights as the reference computes with them, and the decoders from the formats found in files. */
import { bfloat16ToNumber, halfToNumber, roundHalfEven } from "./numbers";

/** `weight[row][column] = codes[row * columns + column] * scale`, codes in {-1, 0, +1}. */
export interface TernaryMatrix {
  rows: number;
  columns: number;
  codes: Int8Array;
  scale: number;
  /** Scales of their own for each `columns` consecutive weights, in place of `scale`; codes may then be any integer. */
  groups?: { columns: number; scales: Float64Array };
}

/** A matrix with scales by group. */
export type GroupedMatrix = Omit<Required<TernaryMatrix>, "scale">;

/** `weight[row][column] = values[row * columns + column]`; a vector has one row. */
export interface DenseMatrix {
  rows: number;
  columns: number;
  values: Float64Array;
}

/** Bytes of a stored tensor with its format's name and its shape, slowest dimension first. */
export interface StoredTensor {
  name: string;
  format: string;
  shape: number[];
  bytes: Buffer;
}

function elementCount(tensor: StoredTensor): number {
  return tensor.shape.reduce((product, size) => product * size, 1);
}

function requireBytes(tensor: StoredTensor, wanted: number): void {
  if (tensor.bytes.length !== wanted) {
    throw new Error(
      `${tensor.name}: ${tensor.format} [${tensor.shape.join(", ")}] needs ${wanted} bytes, not ${tensor.bytes.length}`,
    );
  }
}

/** Q8_0: blocks of 32 as a binary16 scale and 32 signed bytes. */
function decodeQ8_0(bytes: Buffer, values: Float64Array): void {
  for (let block = 0; block * 32 < values.length; block++) {
    const scale = halfToNumber(bytes.readUInt16LE(block * 34));
    for (let i = 0; i < 32; i++) values[block * 32 + i] = scale * bytes.readInt8(block * 34 + 2 + i);
  }
}

/**
 * Q6_K: blocks of 256 as 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales and a binary16 scale.
 * Each half of 128 values takes 64 + 32 bytes; quarter q of a half (32 values) has its nibbles in byte (q % 2) * 32 + l,
 * low nibble for q < 2, and its high bits at 2q in byte l.
 */
function decodeQ6_K(bytes: Buffer, values: Float64Array): void {
  for (let block = 0; block * 256 < values.length; block++) {
    const base = block * 210;
    const blockScale = halfToNumber(bytes.readUInt16LE(base + 208));
    for (let i = 0; i < 256; i++) {
      const half = i >> 7;
      const quarter = (i >> 5) & 3;
      const lane = i & 31;
      const nibbles = bytes.readUInt8(base + half * 64 + (quarter & 1) * 32 + lane);
      const low = quarter < 2 ? nibbles & 15 : nibbles >> 4;
      const high = (bytes.readUInt8(base + 128 + half * 32 + lane) >> (2 * quarter)) & 3;
      const scale = bytes.readInt8(base + 192 + (i >> 4));
      values[block * 256 + i] = blockScale * scale * (((high << 4) | low) - 32);
    }
  }
}

/**
 * Q4_K: blocks of 256 as binary16 d and dmin, twelve bytes of eight 6-bit scales and minima, and 128 bytes of nibbles: each
 * run of 32 bytes holds 32 weights in its low and the next 32 in its high nibbles. weight = d * scale * code - dmin * min.
 */
function decodeQ4_K(bytes: Buffer, values: Float64Array): void {
  for (let block = 0; block * 256 < values.length; block++) {
    const base = block * 144;
    const [d, least] = [halfToNumber(bytes.readUInt16LE(base)), halfToNumber(bytes.readUInt16LE(base + 2))];
    // Twelve bytes: low six bits of scales 0..3, of minima 0..3, then nibbles of both for 4..7, whose two high bits are
    // the high bits of the first eight bytes.
    const packed = Array.from({ length: 12 }, (_, i) => bytes.readUInt8(base + 4 + i));
    for (let i = 0; i < 256; i++) {
      const group = i >> 5;
      let [scale, minimum] = [packed[group]! % 64, packed[group + 4]! % 64];
      if (group >= 4) {
        scale = (packed[group + 4]! % 16) + 16 * Math.floor(packed[group - 4]! / 64);
        minimum = Math.floor(packed[group + 4]! / 16) + 16 * Math.floor(packed[group]! / 64);
      }
      const byte = bytes.readUInt8(base + 16 + 32 * (group >> 1) + (i % 32));
      const code = group % 2 === 0 ? byte % 16 : byte >> 4;
      values[block * 256 + i] = d * scale * code - least * minimum;
    }
  }
}

/** Floats that are -s, 0 or s with the same s in every run of 128 columns of a row. */
export function readTernaryFloats({ rows, columns, values }: DenseMatrix): TernaryMatrix {
  let run = 128;
  while (columns % run !== 0) run /= 2;
  const codes = Int8Array.from(values, Math.sign);
  const scales = Float64Array.from({ length: values.length / run }, (_, i) =>
    values.subarray(i * run, (i + 1) * run).reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  );
  return { rows, columns, codes, scale: NaN, groups: { columns: run, scales } };
}

/** Any dense tensor as float64. */
export function decodeDense(tensor: StoredTensor): DenseMatrix {
  const count = elementCount(tensor);
  const columns = tensor.shape.at(-1) ?? 1;
  const values = new Float64Array(count);
  const { bytes } = tensor;
  switch (tensor.format) {
    case "F32":
      requireBytes(tensor, count * 4);
      for (let i = 0; i < count; i++) values[i] = bytes.readFloatLE(i * 4);
      break;
    case "F16":
      requireBytes(tensor, count * 2);
      for (let i = 0; i < count; i++) values[i] = halfToNumber(bytes.readUInt16LE(i * 2));
      break;
    case "BF16":
      requireBytes(tensor, count * 2);
      for (let i = 0; i < count; i++) values[i] = bfloat16ToNumber(bytes.readUInt16LE(i * 2));
      break;
    case "Q8_0":
      requireBytes(tensor, (count / 32) * 34);
      decodeQ8_0(bytes, values);
      break;
    case "Q6_K":
      requireBytes(tensor, (count / 256) * 210);
      decodeQ6_K(bytes, values);
      break;
    case "Q4_K":
      requireBytes(tensor, (count / 256) * 144);
      decodeQ4_K(bytes, values);
      break;
    default:
      throw new Error(`${tensor.name}: the reference has no decoder for ${tensor.format}`);
  }
  return { rows: count / columns, columns, values };
}

/**
 * I2_S: flat values in blocks of 128, each 32 bytes; value p + 32 g of a block is the bit pair 6 - 2 g of byte p, 0..2
 * for -1..1. A float32 scale and 28 bytes of padding follow.
 */
export function decodeI2S(tensor: StoredTensor): TernaryMatrix {
  const [rows = 0, columns = 0] = tensor.shape;
  const count = rows * columns;
  requireBytes(tensor, count / 4 + 32);
  const codes = new Int8Array(count);
  for (let i = 0; i < count; i++) {
    const byte = tensor.bytes.readUInt8(Math.floor(i / 128) * 32 + (i % 32));
    const group = Math.floor((i % 128) / 32);
    const pair = (byte >> (6 - 2 * group)) & 3;
    if (pair === 3) throw new Error(`${tensor.name}: invalid ternary code 3 at ${i}`);
    codes[i] = pair - 1;
  }
  return { rows, columns, codes, scale: tensor.bytes.readFloatLE(count / 4) };
}

/**
 * Hugging Face's packed uint8 [rows / 4, columns]: bit pair 2 i of row r is row i * rows / 4 + r, 0..2 for -1..1.
 * @param scale what codes are multiplied by
 */
export function decodePackedUint8(tensor: StoredTensor, scale: number): TernaryMatrix {
  const [packedRows = 0, columns = 0] = tensor.shape;
  requireBytes(tensor, packedRows * columns);
  const codes = new Int8Array(packedRows * 4 * columns);
  for (let quarter = 0; quarter < 4; quarter++) {
    for (let i = 0; i < packedRows * columns; i++) {
      const pair = (tensor.bytes.readUInt8(i) >> (2 * quarter)) & 3;
      if (pair === 3) throw new Error(`${tensor.name}: invalid ternary code 3 at byte ${i}`);
      codes[quarter * packedRows * columns + i] = pair - 1;
    }
  }
  return { rows: packedRows * 4, columns, codes, scale };
}

/** Absolute-mean quantisation of master weights (BitNet b1.58, section 2): clip(round(W / mean|W|), -1, 1). */
export function quantiseMaster(matrix: DenseMatrix): TernaryMatrix {
  let sum = 0;
  for (const value of matrix.values) sum += Math.abs(value);
  const scale = Math.max(sum / matrix.values.length, 1e-5);
  const codes = new Int8Array(matrix.values.length);
  for (let i = 0; i < codes.length; i++) {
    codes[i] = Math.max(-1, Math.min(1, roundHalfEven(matrix.values[i]! / scale)));
  }
  return { rows: matrix.rows, columns: matrix.columns, codes, scale };
}
