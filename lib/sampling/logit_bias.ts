import type { Penalty } from "./penalty";

/** Adds to the logits of given tokens (OpenAI's API reference, `logit_bias`); -Infinity forbids one. */
export function logitBias(biases: ReadonlyMap<number, number>): Penalty {
  return {
    ids: () => biases.keys(),
    apply: (id, logit) => logit + (biases.get(id) ?? 0),
  };
}
