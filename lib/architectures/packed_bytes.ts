import type { TensorRef } from "../../types/addon";

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
