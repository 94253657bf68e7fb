import type { Candidates, Random, Requirements, ResolvedSamplingOptions, SamplerName } from "../../lib/sampling";

/** What the engine would answer: a full sort, and sums in double precision rounded as the addon's arrays round them. */
export function candidatesOf(logits: Float32Array, need: Requirements, count = need.candidates): Candidates {
  const { mask } = need;
  const ids = [...logits.keys()]
    .filter((id) => !mask || (mask[id >>> 5]! >>> (id & 31)) & 1)
    .sort((a, b) => logits[b]! - logits[a]! || a - b)
    .slice(0, count);
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

export interface Token {
  id: number;
  logit: number;
}

/** What the distribution depends on besides logits, options and history. */
export interface Moment {
  /** XTC's own random number; undefined: the mixture of both that it may do. */
  unit?: number;
  /** Bits of surprise that mirostat allows now; undefined: at the beginning. */
  bound?: number;
}

/** The samplers by their papers' definitions: slow and plain, on all tokens that are left, likeliest first. */
const stages: Record<SamplerName, (tokens: Token[], options: ResolvedSamplingOptions, drops: boolean) => Token[]> = {
  topNSigma(tokens, { topNSigma: n }) {
    if (n === 0) return tokens;
    const logits = tokens.map(({ logit }) => logit).filter((logit) => logit > -Infinity);
    const mean = logits.reduce((a, b) => a + b) / logits.length;
    const sigma = Math.sqrt(logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length);
    return tokens.filter(({ logit }) => logit >= tokens[0]!.logit - n * sigma);
  },
  topK: (tokens, { topK: k }) => (k > 0 ? tokens.slice(0, k) : tokens),
  typicalP(tokens, { typicalP: p }) {
    if (p === 1) return tokens;
    const shares = sharesOf(tokens);
    const entropy = entropyOf(shares);
    const distances = shares.map((share) => Math.abs(-Math.log(share) - entropy));
    const nearest = [...tokens.keys()].sort((a, b) => distances[a]! - distances[b]! || a - b);
    const kept = new Set<number>();
    for (let sum = 0; sum < p && kept.size < nearest.length;) {
      const next = nearest[kept.size]!;
      kept.add(next);
      sum += shares[next]!;
    }
    return tokens.filter((_, i) => kept.has(i));
  },
  topP(tokens, { topP: p }) {
    if (p === 1) return tokens;
    const shares = sharesOf(tokens);
    let sum = 0;
    let kept = 0;
    while (kept < tokens.length && sum < p) sum += shares[kept++]!;
    return tokens.slice(0, kept);
  },
  minP(tokens, { minP: p }) {
    const shares = sharesOf(tokens);
    return tokens.filter((_, i) => shares[i]! >= p * shares[0]!);
  },
  xtc(tokens, { xtcThreshold }, drops) {
    if (!drops) return tokens;
    const reaching = sharesOf(tokens).filter((share) => share >= xtcThreshold).length;
    return reaching < 2 ? tokens : tokens.slice(reaching - 1);
  },
  temperature(tokens, { temperature, dynamicTemperatureRange: range, dynamicTemperatureExponent: exponent }) {
    let at = temperature;
    if (range > 0) {
      const shares = sharesOf(tokens.filter(({ logit }) => logit > -Infinity));
      const sureness = shares.length > 1 ? entropyOf(shares) / Math.log(shares.length) : 0;
      const low = Math.max(temperature - range, 0);
      // At 0 there would be nothing but the likeliest token.
      at = Math.max(low + (temperature + range - low) * sureness ** exponent, 1e-6);
    }
    return tokens.map(({ id, logit }) => ({ id, logit: logit / at }));
  },
};

function sharesOf(tokens: readonly Token[]): number[] {
  return softmax(tokens.map(({ logit }) => logit));
}

function entropyOf(shares: readonly number[]): number {
  return -shares.reduce((sum, share) => (share > 0 ? sum + share * Math.log(share) : sum), 0);
}

/** What DRY takes from tokens: the longest match of what came last is looked for before each place. */
function dryPenalties(all: readonly number[], options: ResolvedSamplingOptions): Map<number, number> {
  const { dryMultiplier, dryBase, dryAllowedLength, dryLastN, dryBreakers } = options;
  const seen = dryLastN < 0 ? all : all.slice(Math.max(all.length - dryLastN, 0));
  const penalties = new Map<number, number>();
  for (let next = 1; next < seen.length; next++) {
    let length = 0;
    for (; next - length - 1 >= 0; length++) {
      const [there, here] = [seen[next - length - 1]!, seen.at(-1 - length)!];
      if (there !== here || dryBreakers.includes(here)) break;
    }
    if (length < dryAllowedLength) continue;
    const penalty = dryMultiplier * dryBase ** (Math.min(length, 50) - dryAllowedLength);
    penalties.set(seen[next]!, Math.max(penalties.get(seen[next]!) ?? 0, penalty));
  }
  return penalties;
}

/** All tokens after penalties and bias, likeliest first. */
function penalized(logits: Float32Array, options: ResolvedSamplingOptions, history: History): Token[] {
  const all = [...history.prompt, ...history.generated];
  const { repetitionLastN: last } = options;
  const recent = last === -1 ? all : last === 0 ? [] : all.slice(-last);
  const repeated = dryPenalties(all, options);
  const tokens = [...logits].map((original, id) => {
    let logit = original;
    if (recent.includes(id)) logit = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty;
    const count = history.generated.filter((each) => each === id).length;
    logit -= count * options.frequencyPenalty + (count > 0 ? options.presencePenalty : 0);
    logit -= repeated.get(id) ?? 0;
    return { id, logit: Math.fround(logit + (options.logitBias.get(id) ?? 0)) };
  });
  return tokens.sort((a, b) => b.logit - a.logit || a.id - b.id);
}

function narrowed(ranked: Token[], options: ResolvedSamplingOptions, drops: boolean, bound: number): Token[] {
  if (!options.mirostat) {
    return options.samplers.reduce((tokens, name) => stages[name](tokens, options, drops), ranked);
  }
  const tokens = ranked.map(({ id, logit }) => ({ id, logit: logit / options.temperature }));
  const shares = sharesOf(tokens);
  return tokens.filter((_, i) => i === 0 || -Math.log2(shares[i]!) <= bound);
}

/**
 * The distribution that the options describe, written as plainly as the papers: the tokens that may be drawn, likeliest
 * first.
 */
export function referenceDistribution(
  logits: Float32Array,
  options: ResolvedSamplingOptions,
  history: History,
  { unit, bound = 2 * options.mirostatTau }: Moment = {},
): { id: number; probability: number }[] {
  const ranked = penalized(logits, options, history);
  if (options.temperature === 0) return [{ id: ranked[0]!.id, probability: 1 }];
  const withChance = (tokens: Token[], chance: number): { id: number; probability: number }[] => {
    const shares = sharesOf(tokens);
    return tokens.map(({ id }, i) => ({ id, probability: chance * shares[i]! })).filter((each) => each.probability > 0);
  };
  const { xtcProbability: chance } = options;
  if (unit !== undefined) return withChance(narrowed(ranked, options, unit < chance, bound), 1);
  const mixture = new Map<number, number>();
  for (const [drops, part] of [
    [false, 1 - chance],
    [true, chance],
  ] as const) {
    for (const { id, probability } of part > 0 ? withChance(narrowed(ranked, options, drops, bound), part) : []) {
      mixture.set(id, (mixture.get(id) ?? 0) + probability);
    }
  }
  return ranked.flatMap(({ id }) => {
    const probability = mixture.get(id) ?? 0;
    return probability > 0 ? [{ id, probability }] : [];
  });
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
