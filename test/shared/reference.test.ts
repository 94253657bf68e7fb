/** The project's reference against the shared one: two independent implementations, both float64 or near it. */
import { agreement, maxDifference, rowsOf } from "../helpers/compare";
import { loadReference } from "../reference/model";
import { tokenizerFromFolder } from "../reference/tokenizer";
import { describeShared, sharedLogits, sharedModel, sharedReference, sharedTieFree, type Form } from "./shared";

// The reference is slow, and a busy machine slower.
jest.setTimeout(120_000);

describeShared("the project's reference", () => {
  const { prompts, tokenizer: info } = sharedReference();

  test("token ids", () => {
    const tokenizer = tokenizerFromFolder(sharedModel("packed"));
    for (const { text, ids } of prompts) expect([tokenizer.bos, ...tokenizer.encode(text)]).toEqual(ids);
  });

  test("tie-free prompts: every logit within 1e-5", () => {
    const model = loadReference(sharedModel("packed"));
    for (const { ids, logits } of sharedTieFree().prompts) {
      const expected = rowsOf(sharedLogits(logits), info.vocab);
      model.logits(ids).forEach((row, i) => expect(maxDifference(row, expected[i]!)).toBeLessThan(1e-5));
    }
  });

  test.each<Form>(["master", "packed"])("natural prompts, %s form", (form) => {
    const model = loadReference(sharedModel(form));
    prompts.forEach(({ ids }, i) => {
      const expected = rowsOf(sharedLogits(i === 0 ? `${form}_logits_all_0` : `${form}_logits_last_${i}`), info.vocab);
      const result = agreement(model.logits(ids).slice(-expected.length), expected);
      expect(result.argMax).toBe(1);
      expect(result.medianDifference).toBeLessThan(0.1);
    });
  });
});
