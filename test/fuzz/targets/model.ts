import { Model } from "../../../lib";
import { soundModels } from "../gguf_files";
import { bytesOf, damaged, fileOf, refusable, type Bytes, type Target } from "../target";

/** Whole models: read, packed, run. */
export const modelTarget: Target<Bytes> = {
  name: "model",
  covers: ["lib/engine/", "lib/tokenizer/", "lib/generation/"],
  weight: 3,
  inputs: damaged(soundModels, 3),
  async check(input) {
    const path = fileOf("model.gguf", bytesOf(input));
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
