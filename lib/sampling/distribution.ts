import type { Pool } from "./pool";

/** What a token was drawn from, after all samplers. Only until the chain accepts the next token. */
export interface Distribution {
  /**
   * The natural logarithm of a token's probability; -Infinity where a sampler left it out.
   * @param logit its logit under the model
   */
  logprobOf(token: number, logit: number): number;
  /** The likeliest tokens, likeliest first: at most `count`, of an open pool none but what it lists. */
  top(count: number): Int32Array;
}

/** The choice of the likeliest token leaves no other. */
export function certain(token: number): Distribution {
  return {
    logprobOf: (id) => (id === token ? 0 : -Infinity),
    top: (count) => Int32Array.of(token).subarray(0, count),
  };
}

/**
 * The tokens that a pool has been narrowed to.
 * @param changed a token's logit after penalties, bias and mask, given that under the model
 */
export function distributionOf(pool: Pool, changed: (token: number, logit: number) => number): Distribution {
  let known: number | undefined;
  const logprob = (logit: number): number => pool.logWeight(logit) - (known ??= Math.log(pool.mass()?.high ?? NaN));
  return {
    logprobOf(token, logit) {
      const place = pool.ids.subarray(0, pool.length).indexOf(token);
      if (place >= 0) return logprob(pool.logits[place]!);
      // Behind the last listed one it is still in an open pool; before it, a sampler left it out.
      const now = changed(token, logit);
      const last = pool.length - 1;
      const least = pool.logits[last]!;
      const behind = now < least || (now === least && token > pool.ids[last]!);
      return pool.open && behind ? logprob(now) : -Infinity;
    },
    top(count) {
      let length = 0;
      while (length < Math.min(count, pool.length) && pool.weight(length) > 0) length++;
      return pool.ids.slice(0, length);
    },
  };
}
