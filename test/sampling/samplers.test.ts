import { Random, resolveSamplingOptions, SamplerChain, type SamplingOptions } from "../../lib/sampling";
import { DryHistory } from "../../lib/sampling/dry";
import { InvalidOptionError } from "../../lib/errors";
import { below, candidatesOf, normals, softmax } from "./reference";

const OFF = { topK: 0, topP: 1, minP: 0, temperature: 1 } as const;

interface Entry {
  id: number;
  logit: number;
}

/** Ranked tokens with their logits divided by a temperature, cut by plain definitions of the papers. */
const cuts: Record<string, (tokens: Entry[], unit: number) => Entry[]> = {
  typicalP(tokens) {
    const shares = softmax(tokens.map(({ logit }) => logit));
    const entropy = -shares.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
    const byDistance = [...tokens.keys()].sort(
      (a, b) => Math.abs(-Math.log(shares[a]!) - entropy) - Math.abs(-Math.log(shares[b]!) - entropy) || a - b,
    );
    const kept = new Set<number>();
    let sum = 0;
    for (const i of byDistance) {
      kept.add(i);
      sum += shares[i]!;
      if (sum >= 0.6) break;
    }
    return tokens.filter((_, i) => kept.has(i));
  },
  topNSigma(tokens) {
    const logits = tokens.map(({ logit }) => logit);
    const mean = logits.reduce((a, b) => a + b) / logits.length;
    const sigma = Math.sqrt(logits.reduce((sum, x) => sum + (x - mean) ** 2, 0) / logits.length);
    return tokens.filter(({ logit }) => logit >= logits[0]! - 1.2 * sigma);
  },
  xtc(tokens, unit) {
    if (unit >= 0.5) return tokens;
    const shares = softmax(tokens.map(({ logit }) => logit));
    const reaching = shares.filter((share) => share >= 0.08).length;
    return reaching < 2 ? tokens : tokens.slice(reaching - 1);
  },
};

const settings: Record<string, SamplingOptions> = {
  typicalP: { typicalP: 0.6 },
  topNSigma: { topNSigma: 1.2 },
  xtc: { xtcProbability: 0.5, xtcThreshold: 0.08 },
};

test.each(Object.keys(settings))("%s draws from what its definition keeps, from candidates as from all", (name) => {
  const random = new Random(5);
  for (let round = 0; round < 400; round++) {
    const size = 2 + below(random, 80);
    const seed = below(random, 1e6);
    const options = { ...OFF, ...settings[name], seed };
    const logits = normals(random, size, 2);
    const units = new Random(seed);
    const unit = units.nextUnit();
    const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
    const kept = cuts[name]!(
      ranked.map((id) => ({ id, logit: logits[id]! })),
      units.nextUnit(),
    );
    const shares = softmax(kept.map(({ logit }) => logit));
    let sum = 0;
    const drawn = kept.find((_, i) => (sum += shares[i]!) > unit) ?? kept.at(-1)!;
    const all = new SamplerChain(resolveSamplingOptions(options), size).sampleAll(logits);
    expect(all.token).toBe(drawn.id);
    expect(all.probability).toBeCloseTo(shares[kept.indexOf(drawn)]!, 9);
    const few = new SamplerChain(resolveSamplingOptions(options), size);
    const sampled = few.sample(candidatesOf(logits, few.requirements(), Math.min(size, 5)));
    expect("needAll" in sampled ? few.sampleAll(logits).token : sampled.token).toBe(drawn.id);
  }
});

test("dynamic temperature lies between its bounds by the entropy", () => {
  const logits = Float32Array.of(2, 1, 0, -1);
  const shares = softmax([...logits]);
  const entropy = -shares.reduce((sum, p) => sum + p * Math.log(p), 0) / Math.log(4);
  const expected = softmax([...logits].map((logit) => logit / (0.5 + 1 * entropy ** 2)));
  const options = { ...OFF, dynamicTemperatureRange: 0.5, dynamicTemperatureExponent: 2 };
  for (let seed = 0; seed < 30; seed++) {
    const { token, probability } = new SamplerChain(resolveSamplingOptions({ ...options, seed }), 4).sampleAll(logits);
    expect(probability).toBeCloseTo(expected[token]!, 9);
  }
});

test("mirostat holds the surprise of a flat and of a steep model near its target", () => {
  for (const scale of [1, 3]) {
    const random = new Random(9);
    const options = { ...OFF, mirostat: true, mirostatTau: 3, mirostatEta: 0.1, seed: 1 };
    const chain = new SamplerChain(resolveSamplingOptions(options), 400);
    let surprise = 0;
    for (let step = 0; step < 300; step++) {
      const { probability } = chain.sampleAll(normals(random, 400, scale));
      if (step >= 100) surprise -= Math.log2(probability) / 200;
    }
    expect(surprise).toBeGreaterThan(2.5);
    expect(surprise).toBeLessThan(3.5);
  }
});

test("DRY finds what a plain search for repetitions finds", () => {
  const random = new Random(4);
  for (let round = 0; round < 300; round++) {
    const options = {
      dryMultiplier: 0.8,
      dryBase: 1.75,
      dryAllowedLength: 2,
      dryLastN: [-1, 12][round % 2]!,
      dryBreakers: [3],
    };
    const history = new DryHistory(options);
    const tokens = Array.from({ length: below(random, 40) }, () => below(random, 4));
    for (const token of tokens) history.accept(token);
    const seen = options.dryLastN < 0 ? tokens : tokens.slice(-options.dryLastN);
    const expected = new Map<number, number>();
    for (let next = 1; next < seen.length; next++) {
      let length = 0;
      while (next - length - 1 >= 0 && seen[next - length - 1] === seen.at(-1 - length) && seen.at(-1 - length) !== 3)
        length++;
      if (length < 2) continue;
      expected.set(seen[next]!, Math.max(expected.get(seen[next]!) ?? 0, 0.8 * 1.75 ** (Math.min(length, 50) - 2)));
    }
    expect(new Map([...history.penalties()].sort())).toEqual(new Map([...expected].sort()));
  }
});

test("draws have the probabilities that are reported (chi-squared)", () => {
  const logits = Float32Array.of(1.2, 0.7, 0.1, -0.4, -1);
  const counts = new Map<number, number>();
  const shares = new Map<number, number>();
  for (let seed = 0; seed < 4000; seed++) {
    const chain = new SamplerChain(resolveSamplingOptions({ ...OFF, typicalP: 0.9, seed }), 5);
    const { token, probability } = chain.sampleAll(logits);
    counts.set(token, (counts.get(token) ?? 0) + 1);
    shares.set(token, probability);
  }
  let chi = 0;
  for (const [token, share] of shares) chi += ((counts.get(token) ?? 0) - 4000 * share) ** 2 / (4000 * share);
  expect([...shares.values()].reduce((a, b) => a + b)).toBeCloseTo(1, 9);
  // The 99.9 % quantile with four degrees of freedom.
  expect(chi).toBeLessThan(18.47);
});

test("the log-sum-exp is asked for only where a decision may depend on it", () => {
  const needs = (options: SamplingOptions): boolean =>
    new SamplerChain(resolveSamplingOptions(options), 1000).requirements().logSumExp;
  expect([needs({}), needs({ temperature: 0 }), needs({ topK: 5, topP: 1 })]).toEqual([false, false, false]);
  expect([needs({ topK: 0 }), needs({ ...OFF }), needs({ samplers: ["topP", "topK"] })]).toEqual([true, true, true]);
});

test("the order is the caller's, each sampler once", () => {
  const logits = Float32Array.of(3, 2, 1, 0);
  // At temperature 3 first, the top half of the probability takes in a token more.
  const kept = (samplers: SamplingOptions["samplers"]): number =>
    new SamplerChain(
      resolveSamplingOptions({ topK: 0, topP: 0.6, minP: 0, temperature: 3, seed: 1, samplers: samplers! }),
      4,
    ).sampleAll(logits).probability;
  expect(kept(["topP", "temperature"])).toBe(1);
  expect(kept(["temperature", "topP"])).toBeLessThan(1);
  expect(() => resolveSamplingOptions({ samplers: ["topK", "topK"] })).toThrow(InvalidOptionError);
  expect(() => resolveSamplingOptions({ samplers: ["topQ" as never] })).toThrow(InvalidOptionError);
});
