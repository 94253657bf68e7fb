import type { Stage } from "./stage";

/**
 * Dynamic temperature (kalomaze, llama.cpp pull request 4972, 2024): low where the model is sure, high where it is not.
 * The temperature is low + (high - low) * (entropy / greatest possible entropy) ^ exponent, over the tokens that are left.
 */
export function dynamicTemperature(low: number, high: number, exponent: number): Stage {
  return {
    name: "temperature",
    needs: "all",
    closes: false,
    apply(pool) {
      if (pool.open) return false;
      const mass = pool.mass();
      if (!mass) return false;
      let entropy = 0;
      for (let i = 0; i < pool.length; i++) {
        const share = pool.weight(i) / mass.high;
        if (share > 0) entropy -= share * Math.log(share);
      }
      const normalized = pool.length > 1 ? Math.min(Math.max(entropy / Math.log(pool.length), 0), 1) : 0;
      // 0 would divide by it; so near to it only the likeliest token has any weight.
      pool.temperature *= Math.max(low + (high - low) * normalized ** exponent, 1e-6);
      return true;
    },
  };
}
