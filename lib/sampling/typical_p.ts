import type { Stage } from "./stage";

/**
 * Locally typical sampling (Meister et al., "Locally Typical Sampling", 2023): keeps the tokens whose surprise is nearest
 * to the distribution's entropy, the fewest whose probabilities sum to at least `p`. Equally near ones count by rank.
 */
export function typicalP(p: number): Stage {
  return {
    name: "typicalP",
    needs: "ranking",
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
        const surprise = (distances[i] = -Math.log(share));
        if (share > 0) entropy += share * surprise;
      }
      for (let i = 0; i < length; i++) distances[i] = Math.abs(distances[i]! - entropy);
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
  // The last distance is looked for by halving: `within` rises with it. Where the guess holds, few steps are needed.
  const { sorted, guess } = nearestFirst(shares, distances, p);
  let [low, high] = [0, sorted.length - 1];
  if (guess > 1 && within(sorted[guess - 2]!) < p) low = guess - 1;
  if (guess + 1 < high && within(sorted[guess + 1]!) >= p) high = guess + 1;
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

/**
 * The distances, rising, and the place among them at which the shares reach about `p`. In a ranking they fall and then rise
 * again, so that both parts only need merging.
 */
function nearestFirst(
  shares: Float64Array,
  distances: Float64Array,
  p: number,
): { sorted: Float64Array; guess: number } {
  const { length } = distances;
  let right = 1;
  while (right < length && distances[right]! <= distances[right - 1]!) right++;
  let left = right - 1;
  const sorted = new Float64Array(length);
  let guess = -1;
  let sum = 0;
  let isRising = true;
  for (let next = 0; next < length; next++) {
    const isLeft = right >= length || (left >= 0 && distances[left]! <= distances[right]!);
    const place = isLeft ? left-- : right++;
    sorted[next] = distances[place]!;
    // Rounding may put two in the wrong order.
    if (next > 0 && sorted[next]! < sorted[next - 1]!) isRising = false;
    sum += shares[place]!;
    if (guess < 0 && sum >= p) guess = next;
  }
  if (!isRising) sorted.sort();
  return { sorted, guess: guess < 0 ? length - 1 : guess };
}
