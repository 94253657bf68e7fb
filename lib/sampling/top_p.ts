import type { Stage } from "./stage";

/**
 * Nucleus sampling, top-p (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019): keeps the fewest of the
 * likeliest tokens whose probabilities sum to at least `p`, and at least one.
 */
export function topP(p: number): Stage {
  return {
    name: "topP",
    needs: "mass",
    closes: true,
    guess: [1, p],
    apply(pool) {
      const mass = pool.mass();
      if (!mass) return false;
      let sum = 0;
      for (let i = 0; i < pool.length; i++) {
        sum += pool.weight(i);
        if (sum >= p * mass.high) {
          pool.keep(i + 1);
          return true;
        }
        // Above the lower bound only: whether the cut is here depends on the exact mass.
        if (sum >= p * mass.low) return false;
      }
      if (pool.open || mass.low !== mass.high) return false;
      // Only rounding leads here: everything is kept.
      pool.keep(pool.length);
      return true;
    },
  };
}
