import type { Pool } from "./pool";

/** A drawn token's place in the pool, and its probability there. */
export interface Drawn {
  index: number;
  probability: number;
}

/**
 * Draws by inversion: the first token at which the running sum of weights exceeds `unit` times their total. Undefined
 * when that depends on tokens that an open pool does not list.
 *
 * @param unit a uniform number in [0, 1)
 */
export function draw(pool: Pool, unit: number): Drawn | undefined {
  const mass = pool.mass();
  if (!mass) return undefined;
  let sum = 0;
  let last = 0;
  for (let i = 0; i < pool.length; i++) {
    const weight = pool.weight(i);
    if (weight === 0) break;
    sum += weight;
    last = i;
    if (sum > unit * mass.high) return { index: i, probability: weight / mass.high };
    if (sum > unit * mass.low) return undefined;
  }
  if (pool.open || mass.low !== mass.high) return undefined;
  // Rounding alone can leave the sum short of the total: the last token that has any weight takes the gap.
  return { index: last, probability: pool.weight(last) / mass.high };
}
