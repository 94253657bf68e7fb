import type { Stage } from "./stage";

/**
 * Top-n-sigma (Tang et al., "Top-nσ: Not All Logits Are You Need", 2024): keeps the tokens whose logits are at most `n`
 * standard deviations below the greatest. The deviation is that of all tokens in the pool; forbidden ones do not count.
 */
export function topNSigma(n: number): Stage {
  return {
    name: "topNSigma",
    needs: "all",
    closes: true,
    apply(pool) {
      const logits = pool.allLogits();
      if (!logits) return false;
      const least = pool.logits[0]! - n * deviation(logits);
      for (let i = 1; i < pool.length; i++) {
        if (pool.logits[i]! >= least) continue;
        pool.keep(i);
        return true;
      }
      if (pool.open) return false;
      pool.keep(pool.length);
      return true;
    },
  };
}

/** The population's standard deviation of the finite values. */
function deviation(values: Float32Array): number {
  let count = 0;
  let sum = 0;
  for (const value of values) {
    if (value === -Infinity) continue;
    count++;
    sum += value;
  }
  const mean = sum / count;
  let squares = 0;
  for (const value of values) {
    const difference = value - mean;
    if (value !== -Infinity) squares += difference * difference;
  }
  return Math.sqrt(squares / count);
}
