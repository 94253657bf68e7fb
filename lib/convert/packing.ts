import { ConversionError, UnsupportedModelError } from "../errors";
import { toFloat16 } from "./floats";
import { I2S_BLOCK, i2sTail, packI2sCodes } from "./i2s";

/** Types that ternary matrices are written in. */
export type TernaryFormat = "i2_s" | "tq1_0" | "tq2_0" | "q2_0" | "t5";

/** The scale of a block, counted from the matrix's first. */
export type ScaleOf = (block: number) => number;

/** Writes the codes 0, 1, 2 of a matrix in one format. */
export interface Packing {
  /** Values in a block; a matrix must have whole blocks. */
  readonly block: number;
  /** Whether blocks have scales of their own, which needs blocks that do not straddle rows; else the matrix has one. */
  readonly scaledBlocks: boolean;
  /** Bytes of whole blocks, of which `first` is the first one's number. */
  readonly pack: (codes: Uint8Array, scale: ScaleOf, first: number) => Uint8Array;
  /** What stands behind the blocks. */
  readonly tail: (scale: ScaleOf) => Uint8Array;
}

/** One way to store ternary matrices. */
interface TernaryType {
  /** Name among the tensor types. */
  readonly tensorType: string;
  /** `general.file_type` of llama.cpp and bitnet.cpp; undefined for a type that they do not know. */
  readonly fileType: number | undefined;
  readonly packing: (columns: number) => Packing;
}

const NOTHING = new Uint8Array(0);

/** Every type by the name that users choose. */
export const TERNARY_TYPES: Readonly<Record<TernaryFormat, TernaryType>> = {
  i2_s: {
    tensorType: "i2_s",
    fileType: 40,
    packing: () => ({
      block: I2S_BLOCK,
      scaledBlocks: false,
      pack: packI2sCodes,
      tail: (scale) => i2sTail(scale(0)),
    }),
  },
  tq1_0: { tensorType: "tq1_0", fileType: 36, packing: () => halfScaled(256, 54, packTq1, 52) },
  tq2_0: { tensorType: "tq2_0", fileType: 37, packing: () => halfScaled(256, 66, packTq2, 64) },
  q2_0: { tensorType: "q2_0_g64", fileType: 41, packing: () => halfScaled(64, 18, packQ2, 0) },
  t5: { tensorType: "t5", fileType: undefined, packing: t5 },
};

/** @throws UnsupportedModelError where a matrix has no whole blocks */
export function checkPacking(format: TernaryFormat, name: string, rows: number, columns: number): void {
  const { block, scaledBlocks } = TERNARY_TYPES[format].packing(columns);
  if ((scaledBlocks ? columns : rows * columns) % block === 0) return;
  throw new UnsupportedModelError(
    `Tensor "${name}" is [${rows}, ${columns}]; ${format} needs ${scaledBlocks ? "rows" : "matrices"} of a multiple of ` +
      `${block} weights. Choose the type "${scaledBlocks ? "i2_s" : "t5"}".`,
  );
}

/** Packs a stream of codes whose pieces need not end at block borders. */
export async function* packStream(
  codes: AsyncIterable<Uint8Array>,
  { block, pack, tail }: Packing,
  scale: ScaleOf,
): AsyncGenerator<Uint8Array> {
  let rest = NOTHING;
  let first = 0;
  for await (const piece of codes) {
    let joined = piece;
    if (rest.length > 0) {
      joined = new Uint8Array(rest.length + piece.length);
      joined.set(rest);
      joined.set(piece, rest.length);
    }
    const whole = joined.length - (joined.length % block);
    yield pack(joined.subarray(0, whole), scale, first);
    first += whole / block;
    rest = joined.slice(whole);
  }
  yield tail(scale);
}

type PackBlock = (codes: Uint8Array, at: number, out: Uint8Array, to: number) => void;

/** Blocks with a scale in half precision at byte `scaleAt`. */
function halfScaled(block: number, bytes: number, packBlock: PackBlock, scaleAt: number): Packing {
  let last = NaN;
  let half = 0;
  const halfOf = (scale: number): number => {
    if (scale === last) return half;
    half = toFloat16(scale);
    last = scale;
    if ((half & 0x7fff) >= 0x7c00 || ((half & 0x7fff) === 0 && scale !== 0)) {
      throw new ConversionError(`The scale ${scale} does not fit into half precision. Choose the type "i2_s" or "t5".`);
    }
    return half;
  };
  const pack: Packing["pack"] = (codes, scale, first) => {
    const count = codes.length / block;
    const out = new Uint8Array(count * bytes);
    for (let i = 0, to = 0; i < count; i++, to += bytes) {
      packBlock(codes, i * block, out, to);
      const bits = halfOf(scale(first + i));
      out[to + scaleAt] = bits & 255;
      out[to + scaleAt + 1] = bits >>> 8;
    }
    return out;
  };
  return { block, scaledBlocks: true, pack, tail: () => NOTHING };
}

/** TQ2_0: two groups of 128 values in 32 bytes; byte m holds values m, 32 + m, 64 + m, 96 + m from the low bits up. */
function packTq2(codes: Uint8Array, at: number, out: Uint8Array, to: number): void {
  for (let group = 0; group < 2; group++, at += 128, to += 32) {
    for (let m = 0; m < 32; m++) {
      out[to + m] =
        (codes[at + m] ?? 0) |
        ((codes[at + m + 32] ?? 0) << 2) |
        ((codes[at + m + 64] ?? 0) << 4) |
        ((codes[at + m + 96] ?? 0) << 6);
    }
  }
}

/**
 * TQ1_0: 5 trits a byte, 32 bytes for 160 values and 16 bytes for 80, strided by the number of bytes; then 4 bytes for
 * the last 16 values, 4 trits each. A byte is its trits as a fraction of 3^5, scaled to 256 and rounded up.
 */
function packTq1(codes: Uint8Array, at: number, out: Uint8Array, to: number): void {
  for (const [bytes, trits] of [
    [32, 5],
    [16, 5],
    [4, 4],
  ] as const) {
    for (let m = 0; m < bytes; m++) {
      let value = 0;
      for (let n = 0; n < trits; n++) value = value * 3 + (codes[at + m + n * bytes] ?? 0);
      if (trits === 4) value *= 3;
      out[to + m] = Math.ceil((value * 256) / 243);
    }
    at += bytes * trits;
    to += bytes;
  }
}

/** Q2_0 in llama.cpp's blocks of 64: the scale, then four values a byte from the low bits up. */
function packQ2(codes: Uint8Array, at: number, out: Uint8Array, to: number): void {
  for (let m = 0; m < 16; m++, at += 4) {
    out[to + 2 + m] =
      (codes[at] ?? 0) | ((codes[at + 1] ?? 0) << 2) | ((codes[at + 2] ?? 0) << 4) | ((codes[at + 3] ?? 0) << 6);
  }
}

/** T5 (native/formats/t5.cpp): each row its f32 scale, then five values a byte, the first the least significant digit. */
function t5(columns: number): Packing {
  const bytes = 4 + Math.ceil(columns / 5);
  const pack: Packing["pack"] = (codes, scale, first) => {
    const rows = codes.length / columns;
    const out = new Uint8Array(rows * bytes);
    const view = new DataView(out.buffer);
    for (let row = 0; row < rows; row++) {
      view.setFloat32(row * bytes, scale(first + row), true);
      for (let k = 0, to = row * bytes + 4; k < columns; k += 5, to++) {
        let byte = 0;
        for (let i = Math.min(k + 5, columns) - 1; i >= k; i--) byte = byte * 3 + (codes[row * columns + i] ?? 0);
        out[to] = byte;
      }
    }
    return out;
  };
  return { block: columns, scaledBlocks: true, pack, tail: () => NOTHING };
}
