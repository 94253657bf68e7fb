import type { Stage } from "./stage";

/**
 * XTC, "Exclude Top Choices" (p-e-w, pull request 6335 of text-generation-webui, 2024; there is no paper): with the given
 * probability, drops all tokens of at least `threshold` but the least likely of these. Nothing is dropped where fewer than
 * two reach it.
 */
export function xtc(probability: number, threshold: number): Stage {
  return {
    name: "xtc",
    needs: "mass",
    closes: false,
    apply(pool, unit) {
      if (unit() >= probability) return true;
      const mass = pool.mass();
      if (!mass) return false;
      let reaching = 0;
      for (; reaching < pool.length; reaching++) {
        const weight = pool.weight(reaching);
        if (weight < threshold * mass.low) break;
        // Between the bounds: whether it reaches the threshold depends on the exact mass.
        if (weight < threshold * mass.high) return false;
      }
      if (reaching === pool.length && pool.open) return false;
      if (reaching >= 2) pool.drop(reaching - 1, mass);
      return true;
    },
  };
}
