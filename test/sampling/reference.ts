import type { Random } from "../../lib/sampling";
import { type Candidates, type Requirements, type SamplingOptions } from "../../lib/sampling";

/** What the engine would answer: a full sort, and sums in double precision rounded as the addon's arrays round them. */
export function candidatesOf(logits: Float32Array, need: Requirements, count = need.candidates): Candidates {
  const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, count);
  const top = logits[ids[0]!]!;
  const sum = logits.reduce((total, logit) => total + Math.exp((logit - top) / need.temperature), 0);
  return {
    ids: Int32Array.from(ids),
    logits: Float32Array.from(ids, (id) => logits[id]!),
    logSumExp: Math.fround(top / need.temperature + Math.log(sum)),
    extraLogits: Float32Array.from(need.extraIds, (id) => logits[id]!),
  };
}

export interface History {
  prompt: number[];
  generated: number[];
}

/** The distribution that the options describe, written as plainly as their definitions; ids to probabilities. */
export function referenceDistribution(
  logits: Float32Array,
  options: Required<Omit<SamplingOptions, "seed" | "logitBias">> & { logitBias: Map<number, number> },
  history: History,
): { id: number; probability: number }[] {
  const all = [...history.prompt, ...history.generated];
  const { repetitionLastN: last } = options;
  const recent = last === -1 ? all : last === 0 ? [] : all.slice(-last);
  let tokens = [...logits].map((original, id) => {
    let logit = original;
    if (recent.includes(id)) logit = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty;
    const count = history.generated.filter((each) => each === id).length;
    logit -= count * options.frequencyPenalty + (count > 0 ? options.presencePenalty : 0);
    return { id, logit: Math.fround(logit + (options.logitBias.get(id) ?? 0)) };
  });
  tokens.sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (options.temperature === 0) return [{ id: tokens[0]!.id, probability: 1 }];
  if (options.topK > 0) tokens = tokens.slice(0, options.topK);
  let shares = softmax(tokens.map((token) => token.logit));
  if (options.topP < 1) {
    let sum = 0;
    let kept = 0;
    while (kept < tokens.length && sum < options.topP) sum += shares[kept++]!;
    tokens = tokens.slice(0, kept);
  }
  shares = softmax(tokens.map((token) => token.logit));
  tokens = tokens.filter((_, i) => shares[i]! >= options.minP * shares[0]!);
  shares = softmax(tokens.map((token) => token.logit / options.temperature));
  return tokens.map(({ id }, i) => ({ id, probability: shares[i]! }));
}

export function softmax(values: number[]): number[] {
  const top = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Standard normal numbers (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.nextUnit())) * Math.cos(2 * Math.PI * random.nextUnit());
}

export function normals(random: Random, count: number, scale: number): Float32Array {
  return Float32Array.from({ length: count }, () => normal(random) * scale);
}

/** An integer from 0 to `bound` - 1. */
export function below(random: Random, bound: number): number {
  return Math.floor(random.nextUnit() * bound);
}
