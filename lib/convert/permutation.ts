/**
 * Which half-split row stands at a row of a head-wise interleaved matrix: RoPE on neighbours (2i, 2i + 1) is RoPE on
 * halves (i, i + half) with the rows of each head in another order.
 */
export function permutedRow(row: number, headRows: number): number {
  const inHead = row % headRows;
  const half = headRows / 2;
  return row - inHead + (inHead % 2) * half + Math.floor(inHead / 2);
}
