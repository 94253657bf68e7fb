import { Random, resolveSamplingOptions, SamplerChain, type SamplingOptions, selectTop } from "../../lib/sampling";
import { normals, referenceDistribution } from "./reference";

/** Large enough for ranking digit by digit, and for weights that are looked up. */
const SIZE = 20_000;

const OFF = { topK: 0, topP: 1, minP: 0 } as const;

/** Steps of an eighth, so that many are equal; both zeros among them. */
function coarse(logits: Float32Array): Float32Array {
  return logits.map((logit, id) => (id % 97 === 0 ? -0 : Math.round(logit * 8) / 8));
}

test("selectTop ranks as a plain sort does, equal logits by rising id, however many are asked for", () => {
  const random = new Random(1);
  for (const logits of [normals(random, SIZE, 3), coarse(normals(random, SIZE, 2)), new Float32Array(SIZE).fill(-2)]) {
    logits[5] = -Infinity;
    const expected = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
    for (const count of [1, 1000, 5000, 12_345, SIZE, 2 * SIZE]) {
      const ranked = selectTop(logits, count);
      expect([...ranked.ids]).toEqual(expected.slice(0, count));
      expect([...ranked.logits]).toEqual(expected.slice(0, count).map((id) => logits[id]));
    }
  }
});

describe("a model that is unsure of a whole vocabulary", () => {
  const cases: Record<string, SamplingOptions> = {
    "temperature alone": { ...OFF, temperature: 0.9 },
    topP: { ...OFF, topP: 0.95, temperature: 1.2 },
    minP: { ...OFF, minP: 0.02 },
    typicalP: { ...OFF, typicalP: 0.9 },
    "typicalP behind a temperature": { ...OFF, typicalP: 0.3, samplers: ["temperature", "typicalP"], temperature: 2 },
    topNSigma: { ...OFF, topNSigma: 2 },
    dynamicTemperature: { ...OFF, dynamicTemperatureRange: 0.4 },
  };
  test.each(Object.entries(cases))("%s draws what the paper's definition draws", (_, options) => {
    const random = new Random(2);
    const resolved = resolveSamplingOptions({ ...options, seed: 3 });
    const chain = new SamplerChain(resolved, SIZE);
    const units = new Random(3);
    for (let step = 0; step < 4; step++) {
      const logits = step % 2 === 0 ? normals(random, SIZE, 1) : coarse(normals(random, SIZE, 1.5));
      const expected = referenceDistribution(logits, resolved, { prompt: [], generated: [] });
      const unit = units.nextUnit();
      let sum = 0;
      const drawn = expected.find((each) => (sum += each.probability) > unit) ?? expected.at(-1)!;
      const { token, probability } = chain.sampleAll(logits);
      expect(token).toBe(drawn.id);
      expect(probability).toBeCloseTo(drawn.probability, 12);
      chain.accept(token);
    }
  });

  test("all logits are asked for at once where candidates did not do before, until they do again", () => {
    const random = new Random(4);
    const chain = new SamplerChain(resolveSamplingOptions({ ...OFF, minP: 0.05, seed: 1 }), SIZE);
    expect(chain.requirements().expectsAllLogits).toBe(false);
    chain.sampleAll(normals(random, SIZE, 1));
    expect(chain.requirements().expectsAllLogits).toBe(true);
    chain.sampleAll(normals(random, SIZE, 20));
    expect(chain.requirements().expectsAllLogits).toBe(false);
  });
});
