import type { Stage } from "./stage";

/**
 * Top-k (Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation", 2018): keeps the `k` likeliest tokens; of equal
 * ones, those with lower ids.
 */
export function topK(k: number): Stage {
  return {
    name: "topK",
    needs: "nothing",
    closes: true,
    apply(pool) {
      if (pool.length < k && pool.open) return false;
      pool.keep(Math.min(k, pool.length));
      return true;
    },
  };
}
