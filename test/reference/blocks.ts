/**
 * Decoders of block formats with a binary16 scale each, from the formats' definitions and by division where the engine
 * multiplies.
 */
import { halfToNumber } from "./numbers";
import { decodeDense, decodeI2S, type DenseMatrix, type StoredTensor, type TernaryMatrix } from "./weights";

interface BlockFormat {
  columns: number;
  bytes: number;
  scaleAt: number;
  /** Weight i of a block, in units of its scale. */
  weight: (block: Buffer, i: number) => number;
}

/**
 * Base-3 digits, most significant first, of the five-digit number v that a byte stores as ceil(v * 256 / 243).
 * @param run bytes of the run
 * @param i index within the run: digit by digit, all bytes of the run for each
 */
function trit(block: Buffer, at: number, run: number, i: number): number {
  const value = Math.floor((block.readUInt8(at + (i % run)) * 243) / 256);
  return (Math.floor(value / 3 ** (4 - Math.floor(i / run))) % 3) - 1;
}

const q2 = (columns: number): BlockFormat => ({
  columns,
  bytes: columns / 4 + 2,
  scaleAt: 0,
  weight: (block, i) => ((block.readUInt8(2 + (i >> 2)) >> (2 * (i & 3))) & 3) - 1,
});

const FORMATS: Readonly<Record<string, BlockFormat>> = {
  TQ1_0: {
    columns: 256,
    bytes: 54,
    scaleAt: 52,
    weight(block, i) {
      if (i < 160) return trit(block, 0, 32, i);
      return i < 240 ? trit(block, 32, 16, i - 160) : trit(block, 48, 4, i - 240);
    },
  },
  TQ2_0: {
    columns: 256,
    bytes: 66,
    scaleAt: 64,
    weight: (block, i) => ((block.readUInt8(32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3) - 1,
  },
  PTQ1_0: {
    columns: 128,
    bytes: 28,
    scaleAt: 26,
    weight(block, i) {
      if (i < 80) return trit(block, 0, 16, i);
      return i < 120 ? trit(block, 16, 8, i - 80) : trit(block, 24, 2, i - 120);
    },
  },
  Q1_0: {
    columns: 128,
    bytes: 18,
    scaleAt: 0,
    weight: (block, i) => ((block.readUInt8(2 + (i >> 3)) >> (i & 7)) & 1 ? 1 : -1),
  },
  Q2_0: q2(64),
  PQ2_0: q2(128),
  Q4_0: {
    columns: 32,
    bytes: 18,
    scaleAt: 0,
    weight: (block, i) => (i < 16 ? block.readUInt8(2 + i) & 15 : block.readUInt8(2 + i - 16) >> 4) - 8,
  },
  Q8_0: { columns: 32, bytes: 34, scaleAt: 0, weight: (block, i) => block.readInt8(2 + i) },
};

/** Block formats, weights a block and bytes a block. */
export const BLOCK_FORMATS: Readonly<Record<string, Readonly<Pick<BlockFormat, "columns" | "bytes" | "scaleAt">>>> =
  FORMATS;

/** The matrix of a linear layer: I2_S, or blocks with scales of their own. */
export function decodeLinear(tensor: StoredTensor): TernaryMatrix {
  if (tensor.format === "T5") return decodeT5(tensor);
  const format = FORMATS[tensor.format];
  if (!format) return decodeI2S(tensor);
  const [rows = 0, columns = 0] = tensor.shape;
  const count = rows * columns;
  const codes = new Int8Array(count);
  const scales = new Float64Array(count / format.columns);
  for (let b = 0; b < scales.length; b++) {
    const block = tensor.bytes.subarray(b * format.bytes, (b + 1) * format.bytes);
    scales[b] = halfToNumber(block.readUInt16LE(format.scaleAt));
    for (let i = 0; i < format.columns; i++) codes[b * format.columns + i] = format.weight(block, i);
  }
  return { rows, columns, codes, scale: NaN, groups: { columns: format.columns, scales } };
}

/** An embedding or head: floats, ggml's larger blocks, or the blocks of linear layers. */
export function decodeEmbedding(tensor: StoredTensor): DenseMatrix {
  if (!FORMATS[tensor.format] || tensor.format === "Q8_0") return decodeDense(tensor);
  const { rows, columns, codes, groups } = decodeLinear(tensor);
  const values = Float64Array.from(codes, (code, i) => code * groups!.scales[Math.floor(i / groups!.columns)]!);
  return { rows, columns, values };
}

/** Rows of a float32 scale and base-3 digits, least significant first, five a byte. */
function decodeT5({ shape: [rows = 0, columns = 0], bytes }: StoredTensor): TernaryMatrix {
  const stride = 4 + Math.ceil(columns / 5);
  const codes = new Int8Array(rows * columns);
  const scales = Float64Array.from({ length: rows }, (_, row) => bytes.readFloatLE(row * stride));
  for (let i = 0; i < codes.length; i++) {
    const column = i % columns;
    const byte = bytes.readUInt8(Math.floor(i / columns) * stride + 4 + Math.floor(column / 5));
    codes[i] = (Math.floor(byte / 3 ** (column % 5)) % 3) - 1;
  }
  return { rows, columns, codes, scale: NaN, groups: { columns, scales } };
}
