/** The bundled model, by the public API, against what the reference computed (generate.ts). */
import { Model } from "../../lib";
import { argMax, median, rowsOf } from "../helpers/compare";
import { readFixture, type RecordedLogits } from "./fixtures";
import { logSoftmax } from "./model";

const VOCABULARY = 4096;

let model: Model;
beforeAll(async () => {
  model = await Model.load(undefined, { kvType: "f32" });
});
afterAll(() => model.close());

/** Per position, the greatest difference from the recorded logits. */
function differences(rows: readonly Float32Array[], recorded: RecordedLogits): number[] {
  expect(rows).toHaveLength(recorded.topIds.length);
  return rows.map((row, position) => {
    const difference = (ids: readonly number[], logits: readonly number[]): number[] =>
      ids.map((id, i) => Math.abs(row[id]! - logits[i]!));
    return Math.max(
      ...difference(recorded.topIds[position]!, recorded.topLogits[position]!),
      ...difference(recorded.sampleIds, recorded.sampleLogits[position]!),
    );
  });
}

test.each(readFixture("tie_free").prompts.map((prompt, i) => [i, prompt] as const))(
  "tie-free prompt %i: every recorded logit within 1e-3",
  async (_, prompt) => {
    const rows = rowsOf(await model.evaluate(prompt.ids), VOCABULARY);
    expect(Math.max(...differences(rows, prompt))).toBeLessThan(1e-3);
    expect(rows.map(argMax)).toEqual(prompt.topIds.map((ids) => ids[0]));
  },
);

test("texts: correct engines differ by rounding flips only", async () => {
  const { bos, texts } = readFixture("texts");
  const perPosition: number[] = [];
  let sameArgMax = 0;
  for (const recorded of texts) {
    const rows = rowsOf(await model.evaluate([bos, ...recorded.ids]), VOCABULARY);
    perPosition.push(...differences(rows, recorded));
    sameArgMax += rows.filter((row, i) => argMax(row) === recorded.topIds[i]![0]).length;
    const nll = recorded.ids.reduce((sum, id, i) => sum - logSoftmax(rows[i]!, id), 0);
    expect(Math.abs(nll / recorded.negativeLogLikelihood - 1)).toBeLessThan(0.01);
  }
  expect(sameArgMax / perPosition.length).toBeGreaterThanOrEqual(0.98);
  expect(median(perPosition)).toBeLessThan(0.1);
});

test.each(readFixture("greedy").continuations.map((c) => [c.prompt, c] as const))(
  "greedy continuation of %p: the same token wherever the margin is safe",
  async (_, { promptIds, ids, margins }) => {
    const rows = rowsOf(await model.evaluate([...promptIds, ...ids.slice(0, -1)]), VOCABULARY);
    const predictions = rows.slice(promptIds.length - 1).map(argMax);
    const safe = ids.map((_, i) => i).filter((i) => margins[i]! > 0.3);
    expect(safe.length).toBeGreaterThan(20);
    expect(safe.map((i) => predictions[i])).toEqual(safe.map((i) => ids[i]));
  },
);

test.each([...readFixture("tokens").texts, ...readFixture("texts").texts].map(({ text, ids }) => [text, ids] as const))(
  "token ids of %j",
  async (text, ids) => {
    const { bos } = readFixture("texts");
    // Whether encode puts the begin token in front is not what is tested here.
    const encoded = Array.from(await model.tokenizer.encode(text));
    expect(encoded[0] === bos ? encoded.slice(1) : encoded).toEqual(ids);
  },
);
