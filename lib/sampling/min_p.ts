import type { Stage } from "./stage";

/**
 * Min-p (Nguyen et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024): keeps tokens
 * with at least `p` times the probability of the likeliest.
 */
export function minP(p: number): Stage {
  return {
    name: "minP",
    needs: "floor",
    closes: true,
    guess: [2, p],
    apply(pool) {
      for (let i = 1; i < pool.length; i++) {
        if (pool.weight(i) >= p) continue;
        pool.keep(i);
        return true;
      }
      if (pool.open && pool.floorWeight() >= p) return false;
      pool.keep(pool.length);
      return true;
    },
  };
}
