/** Converting both forms of the shared model: the weights are the same, and so is what the engine makes of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { convertToGguf, type ConvertOptions } from "../../lib/convert";
import { agreement, rowsOf } from "../helpers/compare";
import { temporaryFolder } from "../helpers/tiny_model";
import { readGguf } from "../reference/gguf";
import { loadReference } from "../reference/model";
import { describeShared, sharedLogits, sharedModel, sharedReference, type Form } from "./shared";

// The reference is slow, and a busy machine slower.
jest.setTimeout(120_000);

const MODELS = join(__dirname, "..", "..", "models");

/** The descriptive options the bundled file was made with, read from it. */
function bundledOptions(path: string): ConvertOptions {
  const { metadata } = readGguf(path);
  const options: ConvertOptions = {};
  for (const key of ["name", "license", "description"] as const) {
    const value = metadata.get(`general.${key}`);
    if (value !== undefined) options[key] = String(value);
  }
  const template = metadata.get("tokenizer.chat_template");
  if (template !== undefined) options.chatTemplate = String(template);
  return options;
}

describeShared("conversion", () => {
  const folder = temporaryFolder();
  const { prompts, tokenizer } = sharedReference();

  describe.each<Form>(["master", "packed"])("of the %s form", (form) => {
    const path = join(folder, `${form}.gguf`);
    beforeAll(() => convertToGguf(sharedModel(form), path));

    test("keeps ternaries and scales", () => {
      const converted = loadReference(path).weights;
      const original = loadReference(sharedModel(form)).weights;
      converted.layers.forEach((layer, i) => {
        for (const role of ["query", "key", "value", "attentionOutput", "gate", "up", "down"] as const) {
          const [actual, expected] = [layer[role], original.layers[i]![role]];
          expect(Buffer.compare(Buffer.from(actual.codes.buffer), Buffer.from(expected.codes.buffer))).toBe(0);
          expect(Math.abs(actual.scale / expected.scale - 1)).toBeLessThan(1e-6);
        }
      });
    });

    test("gives the reference's logits", async () => {
      const model = await Model.load(path, { kvType: "f32" });
      try {
        const actual: Float32Array[] = [];
        const expected: Float32Array[] = [];
        for (const [i, { ids }] of prompts.entries()) {
          const name = i === 0 ? `${form}_logits_all_0` : `${form}_logits_last_${i}`;
          const recorded = rowsOf(sharedLogits(name), tokenizer.vocab);
          const rows = rowsOf(await model.evaluate(ids), tokenizer.vocab);
          actual.push(...rows.slice(-recorded.length));
          expected.push(...recorded);
        }
        const result = agreement(actual, expected);
        expect(result.argMax).toBeGreaterThanOrEqual(0.98);
        expect(result.medianDifference).toBeLessThan(0.1);
      } finally {
        await model.close();
      }
    });
  });

  test("of the packed form gives the bundled file, byte for byte", async () => {
    const bundled = readdirSync(MODELS).filter((name) => name.endsWith(".gguf"));
    expect(bundled).toHaveLength(1);
    const bundledPath = join(MODELS, bundled[0]!);
    const path = join(folder, "again.gguf");
    await convertToGguf(sharedModel("packed"), path, bundledOptions(bundledPath));
    expect(Buffer.compare(readFileSync(path), readFileSync(bundledPath))).toBe(0);
  });
});
