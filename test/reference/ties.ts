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
 * Draws tokens at random and keeps each that respects the limits, so that the prompt as a whole does.
 * @param random uniform in [0, 1)
 * @throws where 20,000 tokens in a row fail: limits too strict for the model
 */
export function tieFreePrompt(
  model: ReferenceModel,
  length: number,
  random: () => number,
  limits: TieLimits = { activations: 3e-4, kv: 2e-3 },
): TieFreePrompt {
  const sequence = model.sequence();
  const prompt: TieFreePrompt = { tokens: [], logits: [], tieDistance: 0.5 };
  let failures = 0;
  while (prompt.tokens.length < length) {
    const token = Math.floor(random() * model.vocabularySize);
    const result = sequence.push(token, limits);
    if (result === undefined) {
      failures += 1;
      if (failures > 20_000) throw new Error(`no token at position ${sequence.length} stays clear of ties`);
      continue;
    }
    failures = 0;
    prompt.tokens.push(token);
    prompt.logits.push(result.logits);
    prompt.tieDistance = Math.min(prompt.tieDistance, result.tieDistance);
  }
  return prompt;
}
