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
      const shares = Array.from({ length: pool.length }, (_, i) => pool.weight(i) / mass.high);
      const surprises = shares.map((share) => -Math.log(share));
      const entropy = shares.reduce((sum, share, i) => (share > 0 ? sum + share * surprises[i]! : sum), 0);
      const distances = surprises.map((surprise) => Math.abs(surprise - entropy));
      const order = [...shares.keys()].sort((a, b) => distances[a]! - distances[b]! || a - b);
      let sum = 0;
      let kept = 0;
      while (kept < order.length && (kept === 0 || sum < p)) sum += shares[order[kept++]!]!;
      pool.select(order.slice(0, kept).sort((a, b) => a - b));
      return true;
    },
  };
}
