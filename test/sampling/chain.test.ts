import { InvalidOptionError, KernelError } from "../../lib/errors";
import {
  allow,
  Random,
  SamplerChain,
  logSoftmax,
  resolveSamplingOptions,
  samplerNames,
  type Sampled,
  type SamplingOptions,
  type TokenMask,
} from "../../lib/sampling";
import { below, candidatesOf, normals, referenceDistribution, softmax, type History } from "./reference";

const OFF = { topK: 0, topP: 1, minP: 0 } as const;

function chainOf(options: SamplingOptions, size: number): SamplerChain {
  return new SamplerChain(resolveSamplingOptions(options), size);
}

/** Options of every kind, often switched off. */
function randomOptions(random: Random, size: number): SamplingOptions {
  const pick = <T>(...values: T[]): T => values[below(random, values.length)]!;
  const logitBias = new Map<number, number>();
  for (let i = pick(0, 0, 1, 5); i > 0; i--) logitBias.set(below(random, size), pick(-Infinity, -100, 100, 3, -2, 0.5));
  return {
    temperature: pick(0, 0.3, 0.8, 1, 1.7, 10),
    topK: pick(0, 0, 1, 7, 40, 500),
    topP: pick(1, 0.95, 0.5, 0.05, 0.9999),
    minP: pick(0, 0, 0.05, 0.5, 0.001, 1),
    repetitionPenalty: pick(1, 1.3, 0.7),
    repetitionLastN: pick(-1, 0, 3, 64),
    frequencyPenalty: pick(0, 0, 0.7, -0.4),
    presencePenalty: pick(0, 0, 1.1, -0.6),
    typicalP: pick(1, 1, 1, 0.9, 0.3),
    topNSigma: pick(0, 0, 0, 1, 2.5),
    xtcProbability: pick(0, 0, 0.5),
    xtcThreshold: pick(0.1, 0.02),
    dynamicTemperatureRange: pick(0, 0, 0.4, 5),
    dynamicTemperatureExponent: pick(1, 0.5),
    mirostat: pick(false, false, false, false, true),
    mirostatTau: pick(5, 1),
    dryMultiplier: pick(0, 0, 0.8),
    dryAllowedLength: pick(1, 2),
    dryLastN: pick(-1, 4),
    dryBreakers: pick([], [1]),
    // Any of them, in any order.
    samplers: pick(true, false) ? samplerNames : shuffled(random, samplerNames).slice(below(random, 4)),
    logitBias,
    seed: below(random, 2 ** 31),
  };
}

/** No mask mostly, else one that allows some tokens, at least one. */
function maskOf(random: Random, size: number): TokenMask | undefined {
  const share = [0, 0, 0.02, 0.3, 0.9][below(random, 5)]!;
  if (share === 0) return undefined;
  const words = new Int32Array(Math.ceil(size / 32));
  const ids = Array.from({ length: size }, (_, id) => id).filter(() => random.nextUnit() < share);
  if (ids.length === 0) ids.push(below(random, size));
  for (const id of ids) allow(words, id);
  return { words, count: ids.length };
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}

describe("SamplerChain", () => {
  test("chooses the same token from few candidates as from all logits", () => {
    const random = new Random(1);
    const taken = { candidates: 0, all: 0 };
    for (let round = 0; round < 600; round++) {
      const size = 2 + below(random, 500);
      const options = randomOptions(random, size);
      const few = chainOf(options, size);
      const full = chainOf(options, size);
      const prompt = Array.from({ length: below(random, 6) }, () => below(random, size));
      few.acceptPrompt(prompt);
      full.acceptPrompt(prompt);
      for (let step = 0; step < 3; step++) {
        const logits = normals(random, size, [0.01, 1, 4][below(random, 3)]!);
        // Equal logits, whose order the ids decide.
        if (below(random, 3) === 0) for (let i = 0; i < size; i++) logits[i] = Math.round(logits[i]!);
        const allowed = maskOf(random, size);
        few.allowOnly(allowed);
        full.allowOnly(allowed);
        let expected: Sampled;
        try {
          expected = full.sampleAll(logits);
        } catch (error) {
          // The bias forbids what the mask allows.
          expect(error).toBeInstanceOf(InvalidOptionError);
          continue;
        }
        const count = Math.min(size, 1 + below(random, 20));
        const { mask: wanted, ...need } = few.requirements();
        // Candidates may or may not be held to the mask.
        const held = wanted && below(random, 2) === 0 ? { ...need, mask: wanted } : need;
        let sampled = few.sample(candidatesOf(logits, held, count));
        if ("needAll" in sampled) {
          taken.all++;
          sampled = few.sampleAll(logits);
        } else taken.candidates++;
        expect(sampled.token).toBe(expected.token);
        expect(sampled.probability).toBeCloseTo(expected.probability, 3);
        for (const id of expected.from.top(3)) {
          const [a, b] = [sampled, expected].map(({ from }) => from.logprobOf(id, logits[id]!));
          expect(a).toBeCloseTo(b!, 3);
        }
        few.accept(sampled.token);
        full.accept(expected.token);
      }
    }
    // Both ways were really taken, or the comparison would say nothing.
    expect(taken.candidates).toBeGreaterThan(250);
    expect(taken.all).toBeGreaterThan(250);
  });

  test("chooses what inversion of the plainly written distribution gives", () => {
    const random = new Random(2);
    for (let round = 0; round < 800; round++) {
      const size = 2 + below(random, 60);
      const options = randomOptions(random, size);
      const resolved = resolveSamplingOptions(options);
      const chain = chainOf(options, size);
      const units = new Random(options.seed!);
      const history: History = {
        prompt: Array.from({ length: below(random, 6) }, () => below(random, size)),
        generated: [],
      };
      chain.acceptPrompt(history.prompt);
      let bound: number | undefined;
      for (let step = 0; step < 4; step++) {
        const logits = normals(random, size, 3);
        const greedy = resolved.temperature === 0;
        const unit = greedy ? 0 : units.nextUnit();
        // XTC takes a number of its own, behind the choice's.
        const drops = !greedy && !resolved.mirostat && resolved.samplers.includes("xtc") && resolved.xtcProbability > 0;
        const moment = { unit: drops ? units.nextUnit() : 1, ...(bound === undefined ? {} : { bound }) };
        const expected = referenceDistribution(logits, resolved, history, moment);
        const { token, probability, from } = chain.sampleAll(logits);
        let sum = 0;
        const drawn = expected.find((each) => (sum += each.probability) > unit) ?? expected.at(-1)!;
        expect(token).toBe(drawn.id);
        expect(probability).toBeCloseTo(drawn.probability, 9);
        // Every token's probability, of those that were left out too.
        const chances = new Map(expected.map((each) => [each.id, each.probability]));
        const differences = Array.from(logits, (logit, id) =>
          Math.abs(Math.exp(from.logprobOf(id, logit)) - (chances.get(id) ?? 0)),
        );
        expect(Math.max(...differences)).toBeLessThan(5e-10);
        expect([...from.top(9)]).toEqual(expected.slice(0, 9).map(({ id }) => id));
        if (resolved.mirostat && !greedy) {
          bound =
            (bound ?? 2 * resolved.mirostatTau) -
            resolved.mirostatEta * (-Math.log2(probability) - resolved.mirostatTau);
        }
        chain.accept(token);
        history.generated.push(token);
      }
    }
  });

  test("the same seed draws the same tokens, another seed others", () => {
    const logits = normals(new Random(4), 1000, 1);
    const draw = (seed: number): number[] => {
      const chain = chainOf({ seed, ...OFF }, 1000);
      return Array.from({ length: 20 }, () => chain.sampleAll(logits).token);
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
  });

  test("a chain without a seed names the one it chose", () => {
    const logits = normals(new Random(4), 1000, 1);
    const chain = chainOf(OFF, 1000);
    const again = chainOf({ ...OFF, seed: chain.seed }, 1000);
    for (let i = 0; i < 10; i++) expect(again.sampleAll(logits).token).toBe(chain.sampleAll(logits).token);
  });

  test("a clone goes on the same way and independently", () => {
    const chain = chainOf({ seed: 8, repetitionPenalty: 1.5, ...OFF }, 50);
    const logits = normals(new Random(5), 50, 1);
    chain.accept(chain.sampleAll(logits).token);
    const clone = chain.clone();
    const rest = (each: SamplerChain): number[] =>
      Array.from({ length: 12 }, () => {
        const { token } = each.sampleAll(logits);
        each.accept(token);
        return token;
      });
    expect(rest(clone)).toEqual(rest(chain));
  });

  test("a large vocabulary needs few candidates by default and decides on them", () => {
    const size = 128256;
    const logits = normals(new Random(6), size, 2);
    const chain = chainOf({ seed: 1 }, size);
    const need = chain.requirements();
    expect(need.candidates).toBe(40);
    expect(chain.sample(candidatesOf(logits, need))).toHaveProperty("token");
    // Flat logits reach far into the tail.
    const flat = chainOf({ seed: 1, temperature: 5, ...OFF }, size);
    expect(flat.sample(candidatesOf(logits, flat.requirements()))).toEqual({ needAll: true });
    expect(flat.sampleAll(logits).token).toBeLessThan(size);
  });

  test("frequency and presence penalties count the answer, the repetition penalty the prompt too", () => {
    const logits = Float32Array.of(3, 2.5, -1);
    const counting = chainOf({ temperature: 0, presencePenalty: 1 }, 3);
    counting.acceptPrompt([0]);
    expect(counting.sampleAll(logits).token).toBe(0);
    counting.accept(0);
    expect(counting.sampleAll(logits).token).toBe(1);
    const repeating = chainOf({ temperature: 0, repetitionPenalty: 1.5, repetitionLastN: 2 }, 3);
    repeating.acceptPrompt([0]);
    expect(repeating.sampleAll(logits).token).toBe(1);
    repeating.accept(2);
    repeating.accept(2);
    expect(repeating.sampleAll(logits).token).toBe(0);
  });

  test("a bias of -Infinity forbids, forbidding everything and broken logits are errors", () => {
    const ban = chainOf({ temperature: 0, logitBias: { 1: -Infinity } }, 2);
    expect(ban.sampleAll(Float32Array.of(0, 9)).token).toBe(0);
    const all = chainOf({ logitBias: { 0: -Infinity, 1: -Infinity } }, 2);
    expect(all.sample(candidatesOf(Float32Array.of(0, 9), all.requirements()))).toEqual({ needAll: true });
    expect(() => all.sampleAll(Float32Array.of(0, 9))).toThrow(InvalidOptionError);
    expect(() => chainOf({}, 2).sampleAll(Float32Array.of(0, NaN))).toThrow(KernelError);
    expect(() => chainOf({ logitBias: { 2: 1 } }, 2)).toThrow(/token id 2/);
    expect(() => chainOf({}, 3).sampleAll(Float32Array.of(0, 1))).toThrow(/3 logits/);
  });
});

test("logSoftmax gives logarithms of probabilities", () => {
  const values = [1, -3, 0.5, 700];
  const expected = softmax(values.map(Math.fround));
  logSoftmax(Float32Array.from(values)).forEach((logprob, i) => {
    if (expected[i]! > 0) expect(logprob).toBeCloseTo(Math.log(expected[i]!), 3);
  });
});
