import { Model } from "../../../lib";
import { damagedModels, modelBytes, type DamagedModel } from "../gguf_files";
import { fileOf, refusable, type Target } from "../target";

/** Whole models: read, packed, run. */
export const modelTarget: Target<DamagedModel> = {
  name: "model",
  covers: ["lib/engine/", "lib/tokenizer/", "lib/generation/"],
  weight: 3,
  inputs: damagedModels,
  async check(input) {
    const path = fileOf("model.gguf", modelBytes(input));
    const model = await refusable(() => Model.load(path, { threads: 1, kernel: "scalar", memoryLimit: 2 ** 28 }));
    if (!model) return;
    try {
      await refusable(() => model.generate("the hand", { maxTokens: 6, seed: 1 }));
      await refusable(() => model.chat({ maxTokens: 4 }).ask("and"));
    } finally {
      await model.close();
    }
  },
};
