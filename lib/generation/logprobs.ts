import type { Output } from "../engine";
import { logSumExp, type Requirements, type Sampled, selectTop } from "../sampling";
import type { SampledScore, TokenLogprobs } from "./types";

/** Logits of single tokens under the model, and what makes them log-probabilities. */
interface Scale {
  logSumExp: number;
  logitOf: (token: number) => number;
}

/**
 * Log-probabilities of a token and its alternatives: from the candidates where they suffice, which gives the same numbers
 * or nearly, else from all logits.
 * @param required what the output was asked for
 * @param count how many alternatives
 */
export function tokenLogprobs(
  { token, from }: Sampled,
  output: Output,
  required: Requirements,
  count: number,
): TokenLogprobs {
  const { candidateIds } = output;
  const likeliest = candidateIds.length > 0 ? candidateIds : selectTop(output.allLogits(), count).ids;
  const top = likeliest.slice(0, count);
  const sampledTop = from.top(count);
  const { logSumExp: shift, logitOf } =
    scaleOfCandidates(output, required, [token, ...top, ...sampledTop]) ?? scaleOfAll(output.allLogits());
  const score = (id: number): SampledScore => {
    const logit = logitOf(id);
    return { token: id, logprob: logit - shift, sampledLogprob: from.logprobOf(id, logit) };
  };
  return { ...score(token), top: Array.from(top, score), sampledTop: Array.from(sampledTop, score) };
}

function scaleOfAll(logits: Float32Array): Scale {
  return { logSumExp: logSumExp(logits), logitOf: (id) => logits[id] ?? NaN };
}

/** Undefined where the candidates do not tell all that is needed. */
function scaleOfCandidates(
  { candidateIds, candidateLogits, logSumExp: sum, extraLogits }: Output,
  { extraIds, logSumExp: neededSum, temperature }: Requirements,
  needed: readonly number[],
): Scale | undefined {
  // The chain may have needed the sum at a temperature of its own.
  if (Number.isNaN(sum) || (neededSum && temperature !== 1)) return undefined;
  const logits = new Map<number, number>();
  for (const [i, id] of candidateIds.entries()) logits.set(id, candidateLogits[i] ?? NaN);
  for (const [i, id] of extraIds.entries()) logits.set(id, extraLogits[i] ?? NaN);
  if (!needed.every((id) => logits.has(id))) return undefined;
  return { logSumExp: sum, logitOf: (id) => logits.get(id) ?? NaN };
}
