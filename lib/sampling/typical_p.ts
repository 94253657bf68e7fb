import type { Stage } from "./stage";

/**
 * Locally typical sampling (Meister et al., "Locally Typical Sampling", 2023): keeps the tokens whose surprise is nearest
 * to the distribution's entropy, the fewest whose probabilities sum to at least `p`. Equally near ones count by rank.
 */
export function typicalP(p: number): Stage {
  return {
    name: "typicalP",
    needs: "all",
    closes: true,
    apply(pool) {
      if (pool.open) return false;
      const mass = pool.mass();
      if (!mass) return false;
      const { length } = pool;
      const shares = new Float64Array(length);
      const distances = new Float64Array(length);
      let entropy = 0;
      for (let i = 0; i < length; i++) {
        const share = (shares[i] = pool.weight(i) / mass.high);
        if (share > 0) entropy -= share * Math.log(share);
      }
      for (let i = 0; i < length; i++) distances[i] = Math.abs(-Math.log(shares[i]!) - entropy);
      pool.select(nearest(shares, distances, p));
      return true;
    },
  };
}

/** Places of the tokens with the least distances whose shares sum to at least `p`, at least one; rising. */
function nearest(shares: Float64Array, distances: Float64Array, p: number): Int32Array {
  const within = (most: number): number => {
    let sum = 0;
    for (let i = 0; i < shares.length; i++) if (distances[i]! <= most) sum += shares[i]!;
    return sum;
  };
  // Numbers sort much faster than places by them; so the last distance is looked for by halving.
  const sorted = distances.slice().sort();
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (within(sorted[middle]!) >= p) high = middle;
    else low = middle + 1;
  }
  const last = sorted[low]!;
  let sum = 0;
  let nearer = 0;
  for (let i = 0; i < shares.length; i++) {
    if (!(distances[i]! < last)) continue;
    sum += shares[i]!;
    nearer++;
  }
  const places = new Int32Array(shares.length);
  let count = 0;
  for (let i = 0; i < shares.length; i++) {
    if (distances[i]! < last) places[count++] = i;
    else if (distances[i] === last && (nearer === 0 || sum < p)) {
      places[count++] = i;
      sum += shares[i]!;
      nearer++;
    }
  }
  return places.subarray(0, count);
}
