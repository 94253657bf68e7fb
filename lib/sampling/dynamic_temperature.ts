import type { Stage } from "./stage";

/**
 * Dynamic temperature (kalomaze, "Full DynaTemp implementation", pull request 600 of koboldcpp, 2024; there is no paper): low
 * where the model is sure, high where it is not. The temperature is low + (high - low) * (entropy / greatest possible
 * entropy) ^ exponent, over the tokens that are left; forbidden ones do not count.
 */
export function dynamicTemperature(low: number, high: number, exponent: number): Stage {
  return {
    name: "temperature",
    needs: "ranking",
    closes: false,
    apply(pool) {
      if (pool.open) return false;
      const mass = pool.mass();
      if (!mass) return false;
      let entropy = 0;
      let allowed = 0;
      for (; allowed < pool.length && pool.logits[allowed]! > -Infinity; allowed++) {
        const share = pool.weight(allowed) / mass.high;
        if (share > 0) entropy -= share * Math.log(share);
      }
      const normalized = allowed > 1 ? Math.min(Math.max(entropy / Math.log(allowed), 0), 1) : 0;
      // 0 would divide by it; so near to it only the likeliest token has any weight.
      pool.temperature *= Math.max(low + (high - low) * normalized ** exponent, 1e-6);
      return true;
    },
  };
}
