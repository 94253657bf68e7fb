/** Random models of every family, from folders and from GGUF files made of them, against the float64 reference. */
import { join } from "node:path";
import { convertToGguf, Model, type ConvertOptions } from "../../lib";
import { maxDifference, rowsOf } from "../helpers/compare";
import { uniform } from "../helpers/random";
import { temporaryFolder } from "../helpers/tiny_model";
import { FOLDER_VOCABULARY, writeTinyFolder, type TinyFolderOptions } from "../helpers/tiny_folder";
import { loadReference } from "../reference/model";
import { tieFreePrompt } from "../reference/ties";

// The reference is slow, and a busy machine slower.
jest.setTimeout(300_000);

const folder = temporaryFolder();

const YARN = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 };

/** What each model is there for stands in its name. `convert`: options of the GGUF file that is made of it. */
const MODELS: Record<string, TinyFolderOptions & { length?: number; convert?: ConvertOptions }> = {
  "bitnet, float32 master weights": { family: "bitnet" },
  "bitnet, SiLU": { family: "bitnet", storage: "BF16", config: { hidden_act: "silu" } },
  "bitnet, packed, scale multiplies": { family: "bitnet", storage: "packed-multiply" },
  "llama, own head, scale divides": { family: "llama", storage: "packed-divide", tied: false },
  "llama, one KV head, half-precision weights": { family: "llama", storage: "F16", kvHeads: 1 },
  "llama, heads wider than the hidden state": { family: "llama", heads: 8, kvHeads: 4, width: 128, ffn: 128 },
  "1bitLLM: names of its own, SiLU, no quantization_config, rows that are no multiple of 128": {
    family: "bitnet",
    oldNames: true,
    storage: "F16",
    heads: 4,
    headDim: 32,
    kvHeads: 4,
    ffn: 288,
    config: {
      model_type: "llama",
      architectures: ["BitnetForCausalLM"],
      hidden_act: "silu",
      quantization_config: undefined,
      weight_bits: 1,
      input_bits: 8,
    },
  },
  "Llama3-8B-1.58: quantization_config with defaults only": {
    family: "llama",
    storage: "packed-divide",
    tied: false,
    config: { quantization_config: { quant_method: "bitnet", modules_to_not_convert: null }, rope_theta: 500000 },
  },
  "Falcon3-1.58bit: heads of 256, an odd RoPE base": {
    family: "llama",
    storage: "packed-divide",
    tied: false,
    heads: 2,
    kvHeads: 1,
    headDim: 256,
    width: 128,
    config: { quantization_config: { quant_method: "bitnet" }, rope_theta: 1000042 },
  },
  "Falcon-E: one scale a matrix, written out as floats": { family: "llama", storage: "unpacked-matrix", tied: false },
  "TriLM: scales by part of a matrix, written out as floats": {
    family: "llama",
    storage: "unpacked-groups",
    tied: false,
    heads: 4,
    kvHeads: 4,
    headDim: 64,
    convert: { type: "q2_0", embeddingType: "bf16" },
  },
  "Ternary-Bonsai: groups of 128, embedding and head too, YaRN": {
    family: "qwen3",
    storage: "unpacked-groups",
    ternaryEmbedding: true,
    tied: false,
    headDim: 64,
    config: { rope_scaling: YARN, rope_theta: 1000000 },
    length: 10,
    convert: { type: "q2_0", embeddingType: "q2_0" },
  },
  "qwen3, written in this package's dense type": {
    family: "qwen3",
    storage: "packed-multiply",
    heads: 4,
    headDim: 48,
    width: 132,
    ffn: 328,
    config: { rope_scaling: { ...YARN, attention_factor: 1.1386294361119891 } },
    convert: { type: "t5", embeddingType: "f32" },
  },
  "llama 3.1's frequencies": {
    family: "llama",
    storage: "BF16",
    config: {
      rope_theta: 500000,
      rope_scaling: {
        rope_type: "llama3",
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
    },
    length: 12,
  },
  "qwen2, biases": { family: "qwen2", config: { use_sliding_window: false, sliding_window: 4, max_window_layers: 2 } },
  "qwen3, norms per head": { family: "qwen3", storage: "packed-multiply", tied: false },
  "qwen3, norms on the inputs of projections": {
    family: "qwen3",
    inputNorms: true,
    config: { quantization_config: undefined },
  },
  "gemma3, a window that ends inside and outside of a block": {
    family: "gemma3_text",
    layers: 6,
    heads: 2,
    kvHeads: 1,
    headDim: 64,
    ffn: 128,
    storage: "BF16",
    config: { sliding_window: 3, rope_theta: 1000000 },
    length: 8,
  },
  "gemma3, norms on the inputs of projections": {
    family: "gemma3_text",
    inputNorms: true,
    config: { sliding_window: 64 },
  },
};

async function logitsOf(path: string, tokens: number[]): Promise<Float32Array> {
  const model = await Model.load(path, { kvType: "f32", threads: 2 });
  try {
    return await model.evaluate(tokens);
  } finally {
    await model.close();
  }
}

function worst(logits: Float32Array, expected: readonly Float64Array[]): number {
  const rows = rowsOf(logits, FOLDER_VOCABULARY);
  expect(rows).toHaveLength(expected.length);
  return Math.max(...rows.map((row, position) => maxDifference(row, expected[position]!)));
}

test.each(Object.keys(MODELS))("%s", async (name) => {
  const { length = 6, convert, ...options } = MODELS[name]!;
  const path = join(folder, name.replace(/\W+/g, "-"));
  writeTinyFolder(path, options);
  const prompt = tieFreePrompt(loadReference(path, { kv: "f32" }), length, uniform(7));
  const fromFolder = await logitsOf(path, prompt.tokens);
  expect(worst(fromFolder, prompt.logits)).toBeLessThan(1e-3);
  const file = `${path}.gguf`;
  await convertToGguf(path, file, { embeddingType: "bf16", ...convert });
  // An independent reader of the file agrees, which fixes the order of permuted rows and the addends of norms.
  const stored = loadReference(file, { kv: "f32" }).logits(prompt.tokens);
  expect(Math.max(...stored.map((row, i) => maxDifference(row, prompt.logits[i]!)))).toBeLessThan(1e-4);
  const fromFile = await logitsOf(file, prompt.tokens);
  // Bits but for an embedding in another type, whose codes are multiplied in another order.
  if (convert?.embeddingType === "q2_0") expect(maxDifference(fromFile, fromFolder)).toBeLessThan(1e-4);
  else expect(Buffer.from(fromFile.buffer).equals(Buffer.from(fromFolder.buffer))).toBe(true);
});

/** A small model of a family that has windows. */
function withWindow(positions: number): TinyFolderOptions {
  return {
    family: "gemma3_text",
    layers: 1,
    heads: 2,
    kvHeads: 1,
    headDim: 64,
    ffn: 128,
    config: { sliding_window: positions },
  };
}

test("a window of many blocks sees exactly its positions", async () => {
  // Two layers, the first local: what lies beyond the window still reaches the end through the second one's keys, so the
  // models differ from each other and each from the reference's other.
  const length = 70;
  const tokens = Array.from({ length }, (_, i) => (i * 37 + 11) % 256);
  const results: Float64Array[] = [];
  for (const window of [33, 34]) {
    const path = join(folder, `window-${window}`);
    writeTinyFolder(path, withWindow(window));
    const expected = loadReference(path, { kv: "f32" }).logits(tokens).at(-1)!;
    const actual = rowsOf(await logitsOf(path, tokens), FOLDER_VOCABULARY).at(-1)!;
    results.push(expected);
    // Int8 roundings may flip on a prompt that was not searched; a position too many or too few moves logits far more.
    expect(maxDifference(actual, expected)).toBeLessThan(0.02);
  }
  expect(maxDifference(results[0]!, results[1]!)).toBeGreaterThan(0.02);
});

test("int8 weights share scales by position, wherever a window and a pass begin", async () => {
  const path = join(folder, "window-int8");
  writeTinyFolder(path, withWindow(50));
  const tokens = Array.from({ length: 120 }, (_, i) => (i * 37 + 11) % 256);
  const passes: Float32Array[] = [];
  for (const maxBatchTokens of [512, 17, 1]) {
    const model = await Model.load(path, { kvType: "int8", threads: 2, maxBatchTokens });
    try {
      passes.push(await model.evaluate(tokens));
    } finally {
      await model.close();
    }
  }
  for (const pass of passes.slice(1))
    expect(Buffer.from(pass.buffer).equals(Buffer.from(passes[0]!.buffer))).toBe(true);
  const expected = loadReference(path, { kv: "int8" }).logits(tokens).at(-1)!;
  // Roundings may flip, as above.
  expect(maxDifference(rowsOf(passes[0]!, FOLDER_VOCABULARY).at(-1)!, expected)).toBeLessThan(0.02);
});
