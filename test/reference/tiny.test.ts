/** Random models of awkward shapes, by the public API, against the reference on tie-free prompts. */
import { join } from "node:path";
import { Model } from "../../lib";
import { maxDifference, rowsOf } from "../helpers/compare";
import { uniform } from "../helpers/random";
import { TINY_VOCABULARY, temporaryFolder, writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";
import { loadReference } from "./model";
import { tieFreePrompt } from "./ties";

// The reference is slow, and a busy machine slower.
jest.setTimeout(120_000);

const LENGTH = 8;
const folder = temporaryFolder();

/** What each shape is there for stands in its name. Matrices have K = width, heads * headDim and ffn columns. */
const SHAPES: Record<string, TinyModelOptions> = {
  "width 128, grouped 2:1": {},
  "one KV head a query head (1:1)": { heads: 4, kvHeads: 4 },
  "grouped 3:1, width 384, ffn 640": { heads: 6, kvHeads: 2, headDim: 64, ffn: 640 },
  "grouped 4:1 to a single KV head": { heads: 4, kvHeads: 1, headDim: 64, ffn: 384 },
  "grouped 5:1, width 640": { heads: 10, kvHeads: 2, headDim: 64, ffn: 384, layers: 1 },
  "head dimension 96, width 384, ffn 896": { heads: 4, kvHeads: 2, headDim: 96, ffn: 896 },
  "head dimension 40, not of whole vectors of 16": { heads: 8, kvHeads: 4, headDim: 40, width: 384, ffn: 640 },
  "heads wider than the hidden state": { heads: 8, kvHeads: 4, headDim: 32, width: 128, ffn: 128 },
  "heads narrower than the hidden state": { heads: 2, kvHeads: 1, headDim: 64, width: 384, ffn: 256 },
  "ffn much wider than the hidden state": { ffn: 2176, layers: 1 },
  "five layers": { layers: 5 },
  SiLU: { architecture: "bitnet", ffn: 384 },
  "architecture bitnet-25": { architecture: "bitnet-25" },
  "squared ReLU stated in the file": {
    architecture: "bitnet",
    metadata: { "bitnet.hidden_activation": { type: "string", value: "relu2" } },
  },
  "RoPE base 500000": { ropeTheta: 500000 },
  "F32 embedding as head": { embedding: "F32" },
  "BF16 embedding as head": { embedding: "BF16" },
  "Q8_0 embedding as head": { embedding: "Q8_0" },
  "Q6_K embedding as head": { embedding: "Q6_K", heads: 4, headDim: 64 },
  "own F16 head": { head: "F16" },
  "own F32 head": { head: "F32" },
  "own Q8_0 head": { head: "Q8_0", heads: 6, kvHeads: 3, headDim: 64 },
  "own Q6_K head": { head: "Q6_K", heads: 4, headDim: 64 },
  // What Bonsai (Q1_0), Ternary-Bonsai (Q2_0, PQ2_0, PTQ1_0) and llama.cpp's ternary files (Q4_K) have here.
  "Q1_0 embedding as head": { embedding: "Q1_0" },
  "own Q1_0 head": { embedding: "Q1_0", head: "Q1_0", width: 384 },
  "Q2_0 embedding in blocks of 64, as head": { embedding: "Q2_0", heads: 2, kvHeads: 1, width: 192 },
  "PQ2_0 embedding, own PTQ1_0 head": { embedding: "PQ2_0", head: "PTQ1_0", width: 384 },
  "TQ1_0 embedding as head": { embedding: "TQ1_0", heads: 4, headDim: 64 },
  "TQ2_0 embedding as head": { embedding: "TQ2_0", heads: 8, headDim: 64 },
  "Q4_K embedding, own Q6_K head": { embedding: "Q4_K", head: "Q6_K", heads: 4, headDim: 64 },
  "Q4_K embedding as head": { embedding: "Q4_K", heads: 8, headDim: 64 },
  "Q4_0 embedding as head": { embedding: "Q4_0", width: 160 },
};

/** Rounding to f16 or int8 adds ties of its own: only small models have prompts that stay clear of those too. */
const ROUNDED_SHAPES = [
  "width 128, grouped 2:1",
  "one KV head a query head (1:1)",
  "heads wider than the hidden state",
  "SiLU",
];

describe.each([
  ["f32", Object.keys(SHAPES)],
  ["f16", ROUNDED_SHAPES],
  ["int8", ROUNDED_SHAPES],
] as const)("keys and values as %s", (kvType, names) => {
  test.each(names)("%s", async (name) => {
    const path = join(folder, `${name.replace(/\W+/g, "-")}-${kvType}.gguf`);
    writeTinyModel(path, SHAPES[name]);
    const prompt = tieFreePrompt(loadReference(path, { kv: kvType }), LENGTH, uniform(7));
    const model = await Model.load(path, { kvType, threads: 2 });
    try {
      const rows = rowsOf(await model.evaluate(prompt.tokens), TINY_VOCABULARY);
      const differences = rows.map((row, position) => maxDifference(row, prompt.logits[position]!));
      expect(differences).toHaveLength(LENGTH);
      expect(Math.max(...differences)).toBeLessThan(1e-3);
    } finally {
      await model.close();
    }
  });
});
