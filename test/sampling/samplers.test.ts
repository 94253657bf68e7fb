/** Each sampler by its paper's definition (`referenceDistribution`), and by the frequencies of what is really drawn. */
import { Random, resolveSamplingOptions, SamplerChain, type Sampled, type SamplingOptions } from "../../lib/sampling";
import { InvalidOptionError } from "../../lib/errors";
import { below, candidatesOf, normals, referenceDistribution, type History } from "./reference";

const OFF = { topK: 0, topP: 1, minP: 0, temperature: 1 } as const;

/** Every sampler with settings at which it really does something. */
const SAMPLERS: Record<string, SamplingOptions> = {
  temperature: { temperature: 1.5 },
  "temperature below 1": { temperature: 0.5 },
  topK: { topK: 5 },
  topP: { topP: 0.7 },
  minP: { minP: 0.2 },
  typicalP: { typicalP: 0.6 },
  topNSigma: { topNSigma: 1.2 },
  xtc: { xtcProbability: 0.5, xtcThreshold: 0.08 },
  dynamicTemperature: { dynamicTemperatureRange: 0.7, dynamicTemperatureExponent: 2 },
  mirostat: { mirostat: true, mirostatTau: 2.5, mirostatEta: 0.2 },
  repetitionPenalty: { repetitionPenalty: 1.6, repetitionLastN: 6 },
  frequencyPenalty: { frequencyPenalty: 0.6 },
  presencePenalty: { presencePenalty: 1.2 },
  dry: { dryMultiplier: 0.8, dryAllowedLength: 1, dryLastN: 30, dryBreakers: [2] },
  logitBias: { logitBias: { 1: 2, 3: -Infinity } },
  "all at once, in an order of their own": {
    ...{ temperature: 1.2, minP: 0.02, topP: 0.95, topK: 12, typicalP: 0.95, topNSigma: 2.5 },
    ...{ xtcProbability: 0.3, dynamicTemperatureRange: 0.3, repetitionPenalty: 1.1, dryMultiplier: 0.5 },
    samplers: ["temperature", "typicalP", "minP", "topNSigma", "xtc", "topP", "topK"],
  },
};

const chainOf = (options: SamplingOptions, size: number): SamplerChain =>
  new SamplerChain(resolveSamplingOptions({ ...OFF, ...options }), size);

/** As the engine does: from candidates where they suffice, else from all logits. */
function sample(chain: SamplerChain, logits: Float32Array, count?: number): Sampled {
  const need = chain.requirements();
  const sampled = chain.sample(candidatesOf(logits, need, Math.min(count ?? need.candidates, logits.length)));
  return "needAll" in sampled ? chain.sampleAll(logits) : sampled;
}

/** The chi-squared statistic of counts, and the value that it exceeds once in 10,000 (Wilson and Hilferty, 1931). */
function chiSquared(counts: readonly number[], expected: readonly number[]): { found: number; limit: number } {
  const found = counts.reduce((sum, count, i) => sum + (count - expected[i]!) ** 2 / expected[i]!, 0);
  const degrees = counts.length - 1;
  const part = 2 / (9 * degrees);
  return { found, limit: degrees * (1 - part + 3.719 * Math.sqrt(part)) ** 3 };
}

describe.each(Object.entries(SAMPLERS))("%s", (_, options) => {
  const resolved = resolveSamplingOptions({ ...OFF, ...options });

  test("draws each token as often as its definition says (chi-squared)", () => {
    const size = 24;
    const draws = 2000;
    const random = new Random(3);
    const logits = normals(random, size, 1.5);
    // A history in which there is something to penalise: every token that came up to nine times.
    const prompt = Array.from({ length: 40 }, () => below(random, size));
    const history: History = { prompt, generated: [] };
    const beginning = chainOf(options, size);
    beginning.acceptPrompt(prompt);
    for (let i = 0; i < 12; i++) {
      const id = below(random, 6);
      beginning.accept(id);
      history.generated.push(id);
    }
    const expected = referenceDistribution(logits, resolved, history);
    expect(expected.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 9);
    const counts = new Map<number, number>();
    // Every draw is of a chain of its own: some samplers learn from what they drew.
    for (let seed = 0; seed < draws; seed++) {
      const chain = new SamplerChain({ ...resolved, seed }, size);
      chain.acceptPrompt(prompt);
      for (const id of history.generated) chain.accept(id);
      const { token } = sample(chain, logits);
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    const { found, limit } = chiSquared(
      expected.map(({ id }) => counts.get(id) ?? 0),
      expected.map(({ probability }) => draws * probability),
    );
    expect(found).toBeLessThan(limit);
    const allowed = new Set(expected.map(({ id }) => id));
    expect([...counts.keys()].filter((id) => !allowed.has(id))).toEqual([]);
  });

  test("draws along a text what its definition says (chi-squared over the tokens' places in it)", () => {
    const size = 40;
    const steps = 500;
    const random = new Random(8);
    const chain = chainOf({ ...options, seed: 5 }, size);
    const history: History = { prompt: [], generated: [] };
    const bins = new Array<number>(16).fill(0);
    let bound = 2 * resolved.mirostatTau;
    for (let step = 0; step < steps; step++) {
      const logits = normals(random, size, 1.5);
      const expected = referenceDistribution(logits, resolved, history, { bound });
      const { token, probability } = sample(chain, logits, 8);
      let below = 0;
      const drawn = expected.find((each) => {
        if (each.id === token) return true;
        below += each.probability;
        return false;
      });
      // A token that may not be drawn at all would show here.
      expect(drawn).toBeDefined();
      if (resolved.xtcProbability === 0) expect(probability).toBeCloseTo(drawn!.probability, 3);
      // A uniform place within the token's share of the sum: all places together are uniform.
      bins[Math.min(Math.floor(16 * (below + random.nextUnit() * drawn!.probability)), 15)]!++;
      if (resolved.mirostat) bound -= resolved.mirostatEta * (-Math.log2(drawn!.probability) - resolved.mirostatTau);
      chain.accept(token);
      history.generated.push(token);
    }
    const { found, limit } = chiSquared(
      bins,
      bins.map(() => steps / bins.length),
    );
    expect(found).toBeLessThan(limit);
  });

  test("changes what is drawn", () => {
    const size = 24;
    const logits = normals(new Random(3), size, 1.5);
    const history: History = { prompt: [], generated: [1, 2, 3, 1, 4, 5, 1] };
    const plain = resolveSamplingOptions(OFF);
    expect(referenceDistribution(logits, resolved, history)).not.toEqual(referenceDistribution(logits, plain, history));
  });
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

test("a bias that forbids tokens does not change the dynamic temperature of the others", () => {
  const logits = normals(new Random(2), 40, 2);
  const forbidden = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [i + 10, -Infinity]));
  const dynamic = { ...OFF, dynamicTemperatureRange: 0.9, seed: 4 };
  const some = chainOf({ ...dynamic, logitBias: forbidden }, 40).sampleAll(logits);
  const few = chainOf(dynamic, 10).sampleAll(logits.slice(0, 10));
  expect([some.token, some.probability]).toEqual([few.token, few.probability]);
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
