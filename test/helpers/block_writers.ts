/** Writers of block formats with scales of their own, from the formats' definitions. */
import type { TensorToWrite } from "./gguf_builder";

/** Weights as small integers, and the bits of the binary16 scale of every block (or row, for IQ*_BN). */
export interface BlockWeights {
  codes: Int8Array;
  columns: number;
  /** Bits of the binary16 scale that the weight at this flat index has. */
  scale: (index: number) => number;
}

/** Five base-3 digits, most significant first, as ceil(v * 256 / 243). */
function packTrits(digits: readonly number[]): number {
  const value = [0, 1, 2, 3, 4].reduce((v, i) => v * 3 + (digits[i] ?? 0), 0);
  return Math.ceil((value * 256) / 243);
}

/** A run of bytes: digit d of byte b is weight d * bytes + b. */
function tritRun(codes: Int8Array, at: number, bytes: number, digits: number): number[] {
  return Array.from({ length: bytes }, (_, b) =>
    packTrits(Array.from({ length: digits }, (_unused, d) => codes[at + d * bytes + b]! + 1)),
  );
}

/** Bit pairs: pair p of byte b is weight p * bytes + b. */
function pairRun(codes: Int8Array, at: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, b) =>
    [0, 1, 2, 3].reduce((byte, p) => byte | ((codes[at + p * bytes + b]! + 1) << (2 * p)), 0),
  );
}

/** `width` bits a weight from the low bits up, in order. */
function inOrder(codes: Int8Array, at: number, count: number, width: number, zero: number): number[] {
  const bytes = new Array<number>((count * width) / 8).fill(0);
  for (let i = 0; i < count; i++) bytes[(i * width) >> 3]! |= (codes[at + i]! + zero) << ((i * width) & 7);
  return bytes;
}

const half = (bits: number): number[] => [bits & 255, bits >> 8];

interface BlockWriter {
  /** Weights a block. */
  block: number;
  write: (codes: Int8Array, at: number, scale: number) => number[];
}

const q2 = (block: number): BlockWriter => ({
  block,
  write: (codes, at, scale) => [...half(scale), ...inOrder(codes, at, block, 2, 1)],
});

/** Writers by the name of the type in a test; Q2_0 has two block sizes under one type id. */
export const BLOCK_WRITERS = {
  TQ1_0: {
    block: 256,
    write: (codes, at, scale) => [
      ...tritRun(codes, at, 32, 5),
      ...tritRun(codes, at + 160, 16, 5),
      ...tritRun(codes, at + 240, 4, 4),
      ...half(scale),
    ],
  },
  TQ2_0: {
    block: 256,
    write: (codes, at, scale) => [...pairRun(codes, at, 32), ...pairRun(codes, at + 128, 32), ...half(scale)],
  },
  PTQ1_0: {
    block: 128,
    write: (codes, at, scale) => [
      ...tritRun(codes, at, 16, 5),
      ...tritRun(codes, at + 80, 8, 5),
      ...tritRun(codes, at + 120, 2, 4),
      ...half(scale),
    ],
  },
  PQ2_0: q2(128),
  Q2_0: q2(64),
  "Q2_0 in blocks of 128": q2(128),
  Q1_0: {
    block: 128,
    write: (codes, at, scale) => [
      ...half(scale),
      ...inOrder(
        codes.subarray(at, at + 128).map((c) => (c + 1) / 2),
        ...([0, 128, 1, 0] as const),
      ),
    ],
  },
  Q4_0: {
    block: 32,
    write: (codes, at, scale) => [
      ...half(scale),
      ...Array.from({ length: 16 }, (_, b) => (codes[at + b]! + 8) | ((codes[at + 16 + b]! + 8) << 4)),
    ],
  },
  Q8_0: {
    block: 32,
    write: (codes, at, scale) => [...half(scale), ...Array.from(codes.subarray(at, at + 32), (c) => c & 255)],
  },
} as const satisfies Record<string, BlockWriter>;

export type BlockType = keyof typeof BLOCK_WRITERS;

/** A matrix in a block format. */
export function blockTensor(name: string, type: BlockType, { codes, columns, scale }: BlockWeights): TensorToWrite {
  const { block, write }: BlockWriter = BLOCK_WRITERS[type];
  const bytes: number[] = [];
  for (let at = 0; at < codes.length; at += block) bytes.push(...write(codes, at, scale(at)));
  const id = type === "Q2_0 in blocks of 128" ? "Q2_0" : type;
  return { name, type: id, shape: [codes.length / columns, columns], bytes: Buffer.from(bytes) };
}

/** A matrix in one of ik_llama.cpp's formats with a scale per row: f16 for IQ1_BN, f32 for IQ2_BN. */
export function rowScaledTensor(
  name: string,
  type: "IQ1_BN" | "IQ2_BN",
  { codes, columns }: Pick<BlockWeights, "codes" | "columns">,
  scaleBytes: (row: number) => Buffer,
): TensorToWrite {
  const rows = codes.length / columns;
  const parts: Buffer[] = [];
  for (let row = 0; row < rows; row++) {
    parts.push(scaleBytes(row));
    for (let at = row * columns; at < (row + 1) * columns; at += 64) {
      if (type === "IQ2_BN") {
        parts.push(Buffer.from(pairRun(codes, at, 16)));
        continue;
      }
      // Digits of a byte rise in significance: the first weight is the least significant digit.
      const byte = (indices: number[]): number => packTrits(indices.map((i) => codes[at + i]! + 1).reverse());
      const groups = [0, 1, 2, 3].flatMap((group) =>
        [0, 1, 2].map((k) => byte([0, 1, 2, 3, 4].map((j) => 16 * group + 5 * k + j))),
      );
      // The 16th weights: digit `group` counted from the least significant, the highest digit being 0.
      const last = [3, 2, 1, 0].map((group) => codes[at + 16 * group + 15]! + 1);
      parts.push(Buffer.from([...groups, packTrits([0, ...last])]));
    }
  }
  return { name, type, shape: [rows, columns], bytes: Buffer.concat(parts) };
}
