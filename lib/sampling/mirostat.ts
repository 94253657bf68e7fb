import type { Stage } from "./stage";

/**
 * Mirostat, version 2 (Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity", 2021):
 * keeps tokens of at most `most` bits of surprise, and steers that bound so that drawn tokens have `tau` bits on average.
 *
 * @param eta how fast the bound follows
 * @param most the bound now; at first 2 * tau
 */
export function mirostat(tau: number, eta: number, most = 2 * tau): Stage {
  let bound = most;
  return {
    name: "mirostat",
    needs: "mass",
    closes: true,
    apply(pool) {
      const mass = pool.mass();
      if (!mass) return false;
      const share = 2 ** -bound;
      for (let i = 1; i < pool.length; i++) {
        const weight = pool.weight(i);
        if (weight >= share * mass.high) continue;
        if (weight >= share * mass.low) return false;
        pool.keep(i);
        return true;
      }
      if (pool.open) return false;
      pool.keep(pool.length);
      return true;
    },
    drawn(probability) {
      bound -= eta * (-Math.log2(probability) - tau);
    },
    clone: () => mirostat(tau, eta, bound),
  };
}
