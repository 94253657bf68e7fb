import type { ModelSpec, TensorRef } from "../../types/addon";

/** Packed matrices are padded to whole tiles. */
const PACKED_COLUMNS = 256;
const PACKED_ROWS = 16;

/** Bits of a weight in memory, its share of the group's f32 scale included; the others are ternary, with 2. */
const GROUPED_BITS: Readonly<Record<string, number>> = {
  q4_0: 4 + 32 / 32,
  q8_0: 8 + 32 / 32,
  q2_0_g64: 2 + 32 / 64,
  q2_0_g128: 2 + 32 / 128,
  q1_0: 2 + 32 / 128,
  pq2_0: 2 + 32 / 128,
  ptq1_0: 2 + 32 / 128,
  tq1_0: 2 + 32 / 256,
  tq2_0: 2 + 32 / 256,
  f32_unpacked: 2 + 32 / 128,
  f16_unpacked: 2 + 32 / 128,
  bf16_unpacked: 2 + 32 / 128,
  // With zero points, in the usual groups of 128; 3 bits are held in 4.
  gptq2: 2 + 64 / 128,
  gptq3: 4 + 64 / 128,
  gptq4: 4 + 64 / 128,
};

/**
 * Bytes that a linear layer's matrix takes in memory. Close for GPTQ, exact for one scale a tensor; with scales in blocks it holds where
 * they differ, and is up to a tenth too much for ternary types where they are all the same.
 */
export function packedBytes({ format, rows, columns }: Pick<TensorRef, "format" | "rows" | "columns">): number {
  const up = (value: number, step: number): number => Math.ceil(value / step) * step;
  return (up(rows, PACKED_ROWS) * up(columns, PACKED_COLUMNS) * (GROUPED_BITS[format] ?? 2)) / 8;
}

/** Heads of at least this many bytes get a sketch. */
const SKETCHED_HEAD_BYTES = 32 * 2 ** 20;

/** 64 bytes hold as many weights of 1.6 bits. */
const DENSE_COLUMNS = 320;

/**
 * Bytes that decoding's shortcut takes besides, the sketch of a large head: a plane of two bits and one of 1.6, with a scale and
 * an error a row each; 0 where it has none. At most: not every instruction set has both planes.
 */
export function sketchBytes(spec: ModelSpec): number {
  const head = spec.output ?? spec.tokenEmbedding;
  if (head.byteLength < SKETCHED_HEAD_BYTES) return 0;
  const rows = Math.ceil(head.rows / PACKED_ROWS) * PACKED_ROWS;
  const first = (Math.ceil(head.columns / PACKED_COLUMNS) * PACKED_COLUMNS) / 4;
  const second = Math.ceil(head.columns / DENSE_COLUMNS) * 64;
  return rows * (first + second + 2 * 8);
}
