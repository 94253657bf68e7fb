/** The bundled model's ids, logits and greedy continuations against the shared reference. */
import { Model } from "../../lib";
import { agreement, argMax, maxDifference, rowsOf } from "../helpers/compare";
import { loadReference } from "../reference/model";
import {
  describeShared,
  sharedLogits,
  sharedModel,
  sharedReference,
  sharedText,
  sharedTieFree,
  withoutBos,
} from "./shared";

// The reference is slow, and a busy machine slower.
jest.setTimeout(120_000);

describeShared("bundled model against the shared reference", () => {
  const reference = sharedReference();
  const { bos, vocab } = reference.tokenizer;
  let model: Model;
  beforeAll(async () => {
    model = await Model.load(undefined, { kvType: "f32" });
  });
  afterAll(() => model.close());

  const evaluate = async (ids: readonly number[]): Promise<Float32Array[]> =>
    rowsOf(await model.evaluate([...ids]), vocab);

  test.each(reference.prompts.map(({ text, ids }) => [text, ids] as const))("token ids of %j", async (text, ids) => {
    expect([bos, ...withoutBos(await model.tokenizer.encode(text), bos)]).toEqual(ids);
  });

  test.each(sharedTieFree().prompts.map(({ logits, ids }) => [logits, ids] as const))(
    "%s: every logit within 1e-3",
    async (name, ids) => {
      const rows = await evaluate(ids);
      const expected = rowsOf(sharedLogits(name), vocab);
      expect(rows).toHaveLength(expected.length);
      expect(Math.max(...rows.map((row, i) => maxDifference(row, expected[i]!)))).toBeLessThan(1e-3);
    },
  );

  test("natural prompts: arg-max on 98 %, a median difference below 0.1", async () => {
    const actual: Float32Array[] = [];
    const expected: Float32Array[] = [];
    for (const [i, { ids }] of reference.prompts.entries()) {
      const recorded = rowsOf(sharedLogits(i === 0 ? "packed_logits_all_0" : `packed_logits_last_${i}`), vocab);
      actual.push(...(await evaluate(ids)).slice(-recorded.length));
      expected.push(...recorded);
    }
    const result = agreement(actual, expected);
    expect(result.argMax).toBeGreaterThanOrEqual(0.98);
    expect(result.medianDifference).toBeLessThan(0.1);
    expect(result.maxDifference).toBeLessThan(0.5);
  });

  test("held-out text in pieces of 32 tokens: most positions see no rounding flip at all", async () => {
    // Flips gather along a context (over 500 positions the median difference of correct engines reaches 0.1); in short
    // ones float32 agrees with float64 to 2e-6 in the median, so that the bound can be far tighter.
    const text = sharedText("valid.txt").slice(0, 6000);
    const ids = withoutBos(await model.tokenizer.encode(text), bos);
    const expecting = loadReference(sharedModel("packed"), { kv: "f32" });
    const actual: Float32Array[] = [];
    const expected: Float64Array[] = [];
    for (let piece = 0; piece < 16; piece++) {
      const prompt = [bos, ...ids.slice(piece * 32, piece * 32 + 31)];
      actual.push(...(await evaluate(prompt)));
      expected.push(...expecting.logits(prompt));
    }
    const result = agreement(actual, expected);
    expect(result.positions).toBe(512);
    expect(result.argMax).toBeGreaterThanOrEqual(0.98);
    expect(result.medianDifference).toBeLessThan(0.01);
  });

  test.each(reference.prompts.map(({ text, ids, greedy_packed: greedy }) => [text, ids, greedy] as const))(
    "greedy continuation of %j",
    async (_, promptIds, { ids, top1_minus_top2: margins }) => {
      const rows = await evaluate([...promptIds, ...ids.slice(0, -1)]);
      const predictions = rows.slice(promptIds.length - 1).map(argMax);
      const safe = ids.map((_, i) => i).filter((i) => margins[i]! > 0.3);
      expect(safe.map((i) => predictions[i])).toEqual(safe.map((i) => ids[i]));

      // Continuing by itself gives the same until the first close decision.
      const close = margins.findIndex((margin) => margin < 0.1);
      const own: number[] = [];
      while (own.length < close) own.push(argMax((await evaluate([...promptIds, ...own])).at(-1)!));
      expect(own).toEqual(ids.slice(0, close));
    },
  );
});
