/** Measures of how far two engines' logits lie apart. */

/** Index of the highest value; the first among equals. */
export function argMax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** The greatest difference of two rows; NaN where either has a NaN. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`rows of ${a.length} and ${b.length} values`);
  let greatest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= greatest)) greatest = difference;
    if (Number.isNaN(greatest)) return NaN;
  }
  return greatest;
}

/** Rows of a row-major [n, columns] array, without copying. */
export function rowsOf(values: Float32Array, columns: number): Float32Array[] {
  if (values.length % columns !== 0) throw new RangeError(`${values.length} values are no rows of ${columns}`);
  return Array.from({ length: values.length / columns }, (_, i) => values.subarray(i * columns, (i + 1) * columns));
}

/** Agreement of two engines over the positions of some prompts. */
export interface Agreement {
  positions: number;
  /** Share of positions with the same arg-max, 0 to 1. */
  argMax: number;
  /** Median over positions of the greatest difference of any logit. */
  medianDifference: number;
  /** Greatest difference of all. */
  maxDifference: number;
}

/** Compares row by row. */
export function agreement(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): Agreement {
  if (actual.length !== expected.length) throw new RangeError(`${actual.length} rows, not ${expected.length}`);
  const differences = actual.map((row, i) => maxDifference(row, expected[i]!));
  const equal = actual.filter((row, i) => argMax(row) === argMax(expected[i]!)).length;
  return {
    positions: actual.length,
    argMax: equal / actual.length,
    medianDifference: median(differences),
    maxDifference: differences.some(Number.isNaN) ? NaN : Math.max(...differences),
  };
}
