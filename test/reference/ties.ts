/**
 * Prompts on which no rounding can flip. Two correct engines differ in the last bits of a float; where an activation
 * stands close to a tie of the int8 rounding, that becomes a whole step, and logits differ by tenths. Exact comparisons
 * therefore use prompts that stay clear of ties.
 */
import type { TieLimits } from "./decoder";
import type { ReferenceModel } from "./model";

/** A prompt with the logits of all its positions. */
export interface TieFreePrompt {
  tokens: number[];
  logits: Float64Array[];
  /** Least distance from a tie over the whole prompt, in int8 steps. */
  tieDistance: number;
}

/**
 * Draws tokens at random and keeps each that respects the limits; where none does, takes back the last one.
 * @param random uniform in [0, 1)
 * @throws after 50,000 draws: limits too strict for the model
 */
export function tieFreePrompt(
  model: ReferenceModel,
  length: number,
  random: () => number,
  limits: TieLimits = { activations: 3e-4, kv: 2e-3 },
): TieFreePrompt {
  const sequence = model.sequence();
  const accepted: { token: number; logits: Float64Array; tieDistance: number }[] = [];
  let failures = 0;
  for (let draws = 0; accepted.length < length; draws++) {
    if (draws > 50_000) throw new Error(`no prompt of ${length} tokens that stays clear of ties was found`);
    const token = Math.floor(random() * model.vocabularySize);
    const result = sequence.push(token, limits);
    if (result !== undefined) {
      accepted.push({ token, logits: result.logits, tieDistance: result.tieDistance });
      failures = 0;
    } else if (++failures > model.vocabularySize) {
      accepted.pop();
      sequence.truncate(accepted.length);
      failures = 0;
    }
  }
  return {
    tokens: accepted.map(({ token }) => token),
    logits: accepted.map(({ logits }) => logits),
    tieDistance: Math.min(...accepted.map(({ tieDistance }) => tieDistance)),
  };
}
