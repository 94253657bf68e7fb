import { ConversionError, UnsupportedModelError } from "../errors";
import { toFloat16 } from "./floats";
import { I2S_BLOCK, i2sTail, packI2sCodes } from "./i2s";

/** Types that ternary matrices are written in. */
export type TernaryFormat = "i2_s" | "tq1_0" | "tq2_0";

/** Writes the codes 0, 1, 2 of a matrix in one format. */
export interface Packing {
  /** `general.file_type` of llama.cpp and bitnet.cpp. */
  readonly fileType: number;
  /** Values in a block; a matrix must have whole blocks. */
  readonly block: number;
  /** Whether blocks must not straddle rows. */
  readonly wholeRows: boolean;
  /** Bytes of whole blocks. */
  readonly pack: (codes: Uint8Array, scale: number) => Uint8Array;
  /** What stands behind the blocks. */
  readonly tail: (scale: number) => Uint8Array;
}

/** ggml's TQ types: blocks of 256 with a half-precision scale each. */
const TQ_BLOCK = 256;
const NOTHING = new Uint8Array(0);

export const PACKINGS: Readonly<Record<TernaryFormat, Packing>> = {
  i2_s: { fileType: 40, block: I2S_BLOCK, wholeRows: false, pack: packI2sCodes, tail: i2sTail },
  tq1_0: { fileType: 36, block: TQ_BLOCK, wholeRows: true, pack: tq(54, packTq1), tail: () => NOTHING },
  tq2_0: { fileType: 37, block: TQ_BLOCK, wholeRows: true, pack: tq(66, packTq2), tail: () => NOTHING },
};

/** @throws UnsupportedModelError where a matrix has no whole blocks */
export function checkPacking(format: TernaryFormat, name: string, rows: number, columns: number): void {
  const { block, wholeRows } = PACKINGS[format];
  if ((wholeRows ? columns : rows * columns) % block === 0) return;
  throw new UnsupportedModelError(
    `Tensor "${name}" is [${rows}, ${columns}]; ${format} needs ${wholeRows ? "rows" : "matrices"} of a multiple of ` +
      `${block} weights.${wholeRows ? ' Choose the type "i2_s".' : ""}`,
  );
}

/** Packs a stream of codes whose pieces need not end at block borders. */
export async function* packStream(
  codes: AsyncIterable<Uint8Array>,
  format: TernaryFormat,
  scale: () => number,
): AsyncGenerator<Uint8Array> {
  const { block, pack, tail } = PACKINGS[format];
  let rest = NOTHING;
  for await (const piece of codes) {
    let joined = piece;
    if (rest.length > 0) {
      joined = new Uint8Array(rest.length + piece.length);
      joined.set(rest);
      joined.set(piece, rest.length);
    }
    const whole = joined.length - (joined.length % block);
    yield pack(joined.subarray(0, whole), scale());
    rest = joined.slice(whole);
  }
  yield tail(scale());
}

function tq(
  bytes: number,
  packBlock: (codes: Uint8Array, at: number, out: Uint8Array, to: number) => void,
): Packing["pack"] {
  return (codes, scale) => {
    const half = toFloat16(scale);
    if ((half & 0x7fff) >= 0x7c00 || (half & 0x7fff) === 0) {
      throw new ConversionError(`The scale ${scale} does not fit into half precision. Choose the type "i2_s".`);
    }
    const out = new Uint8Array((codes.length / TQ_BLOCK) * bytes);
    for (let at = 0, to = 0; at < codes.length; at += TQ_BLOCK, to += bytes) {
      packBlock(codes, at, out, to);
      out[to + bytes - 2] = half & 255;
      out[to + bytes - 1] = half >>> 8;
    }
    return out;
  };
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
