/** Perplexity of the held-out text, by the procedure in reference.json, for both key and value types. */
import { Model } from "../../lib";
import { rowsOf } from "../helpers/compare";
import { logSoftmax } from "../reference/model";
import { describeShared, perplexityChunks, sharedReference, sharedText, withoutBos } from "./shared";

describeShared("held-out text", () => {
  const { tokenizer, perplexity } = sharedReference();

  test.each(["f32", undefined] as const)(
    "perplexity within 0.2 %% with kvType %p",
    async (kvType) => {
      const model = await Model.load(undefined, kvType === undefined ? {} : { kvType });
      try {
        const ids = withoutBos(await model.tokenizer.encode(sharedText("valid.txt")), tokenizer.bos);
        expect(ids).toHaveLength(perplexity.packed.tokens);
        let sum = 0;
        for (const chunk of perplexityChunks(ids)) {
          const rows = rowsOf(await model.evaluate([tokenizer.bos, ...chunk.slice(0, -1)]), tokenizer.vocab);
          chunk.forEach((id, i) => (sum -= logSoftmax(rows[i]!, id)));
        }
        const measured = Math.exp(sum / ids.length);
        expect(Math.abs(measured / perplexity.packed.perplexity - 1)).toBeLessThan(0.002);
      } finally {
        await model.close();
      }
    },
    600_000,
  );
});
