/** Bonsai and Ternary-Bonsai as their GGUF files are: qwen3, every matrix in 128-column groups, YaRN in the metadata. */
import { join } from "node:path";
import { Model, UnsupportedModelError } from "../../lib";
import { blockTensor, type BlockType } from "../helpers/block_writers";
import { maxDifference, rowsOf } from "../helpers/compare";
import { writeGguf, type MetadataValue, type TensorToWrite } from "../helpers/gguf_builder";
import { uniform } from "../helpers/random";
import { temporaryFolder, TINY_VOCABULARY, tinyVocabulary } from "../helpers/tiny_model";
import { randomNorm } from "../helpers/weight_writers";
import { loadReference } from "../reference/model";
import { tieFreePrompt } from "../reference/ties";

jest.setTimeout(120_000);

const folder = temporaryFolder();
const [WIDTH, FFN, HEADS, KV_HEADS, HEAD_DIM, LAYERS] = [256, 384, 4, 2, 64, 2];

/** Bits of a positive binary16 number from 2^exponent to 2^(exponent + 1). */
function scaleBits(exponent: number, random: () => number): number {
  return ((exponent + 15) << 10) | Math.floor(random() * 1024);
}

function writeBonsai(name: string, type: BlockType, metadata: Record<string, MetadataValue> = {}): string {
  const random = uniform(11);
  const matrix = (tensor: string, rows: number, columns: number, exponent = -5): TensorToWrite => {
    const codes = Int8Array.from({ length: rows * columns }, () =>
      type === "Q1_0" ? 2 * Math.floor(random() * 2) - 1 : Math.floor(random() * 3) - 1,
    );
    return blockTensor(`${tensor}.weight`, type, { codes, columns, scale: () => scaleBits(exponent, random) });
  };
  const norm = (tensor: string, length: number): TensorToWrite => randomNorm(`${tensor}.weight`, length, random);
  const layers = Array.from({ length: LAYERS }, (_, i) => [
    norm(`blk.${i}.attn_norm`, WIDTH),
    norm(`blk.${i}.attn_q_norm`, HEAD_DIM),
    norm(`blk.${i}.attn_k_norm`, HEAD_DIM),
    norm(`blk.${i}.ffn_norm`, WIDTH),
    matrix(`blk.${i}.attn_q`, HEADS * HEAD_DIM, WIDTH),
    matrix(`blk.${i}.attn_k`, KV_HEADS * HEAD_DIM, WIDTH),
    matrix(`blk.${i}.attn_v`, KV_HEADS * HEAD_DIM, WIDTH),
    matrix(`blk.${i}.attn_output`, WIDTH, HEADS * HEAD_DIM),
    matrix(`blk.${i}.ffn_gate`, FFN, WIDTH),
    matrix(`blk.${i}.ffn_up`, FFN, WIDTH),
    matrix(`blk.${i}.ffn_down`, WIDTH, FFN),
  ]).flat();
  const path = join(folder, `${name}.gguf`);
  const u32 = (value: number): MetadataValue => ({ type: "u32", value });
  const f32 = (value: number): MetadataValue => ({ type: "f32", value });
  writeGguf(path, {
    metadata: {
      "general.architecture": { type: "string", value: "qwen3" },
      "qwen3.block_count": u32(LAYERS),
      "qwen3.context_length": u32(256),
      "qwen3.embedding_length": u32(WIDTH),
      "qwen3.feed_forward_length": u32(FFN),
      "qwen3.attention.head_count": u32(HEADS),
      "qwen3.attention.head_count_kv": u32(KV_HEADS),
      "qwen3.attention.key_length": u32(HEAD_DIM),
      "qwen3.attention.value_length": u32(HEAD_DIM),
      "qwen3.attention.layer_norm_rms_epsilon": f32(1e-6),
      "qwen3.rope.freq_base": f32(1000000),
      "qwen3.rope.scaling.type": { type: "string", value: "yarn" },
      "qwen3.rope.scaling.factor": f32(4),
      "qwen3.rope.scaling.original_context_length": u32(64),
      ...tinyVocabulary(),
      ...metadata,
    },
    tensors: [
      matrix("token_embd", TINY_VOCABULARY, WIDTH, -3),
      matrix("output", TINY_VOCABULARY, WIDTH, -3),
      norm("output_norm", WIDTH),
      ...layers,
    ],
  });
  return path;
}

async function logitsOf(path: string, tokens: number[], kernel?: string): Promise<Float32Array> {
  const model = await Model.load(path, { kvType: "f32", threads: 2, ...(kernel ? { kernel } : {}) });
  try {
    return await model.evaluate(tokens);
  } finally {
    await model.close();
  }
}

// The reference reads llama.cpp's Q2_0, in blocks of 64; PrismML's Q2_0 in blocks of 128 is PQ2_0 under another id.
test.each<[string, BlockType]>([
  ["Bonsai in Q1_0", "Q1_0"],
  ["Ternary-Bonsai in PQ2_0", "PQ2_0"],
  ["Ternary-Bonsai in PTQ1_0", "PTQ1_0"],
  ["Ternary-Bonsai in llama.cpp's Q2_0", "Q2_0"],
])("%s against the reference", async (name, type) => {
  const path = writeBonsai(name.replace(/\W+/g, "-"), type);
  const prompt = tieFreePrompt(loadReference(path, { kv: "f32" }), 8, uniform(7));
  const rows = rowsOf(await logitsOf(path, prompt.tokens), TINY_VOCABULARY);
  expect(rows).toHaveLength(8);
  expect(Math.max(...rows.map((row, i) => maxDifference(row, prompt.logits[i]!)))).toBeLessThan(1e-3);
});

test("the two names of blocks of 128 and every kernel give the same bits", async () => {
  const tokens = [262, 72, 101, 108, 108, 111];
  const expected = await logitsOf(writeBonsai("pq2", "PQ2_0"), tokens);
  const old = writeBonsai("q2-128", "Q2_0 in blocks of 128");
  expect(await logitsOf(old, tokens)).toEqual(expected);
  expect(await logitsOf(old, tokens, "scalar")).toEqual(expected);
});

test("a transform of activations that cannot be done is refused by name", async () => {
  const path = writeBonsai("hadamard", "PQ2_0", { "prism.hadamard.block_size": { type: "u32", value: 128 } });
  await expect(Model.load(path)).rejects.toThrow(UnsupportedModelError);
  await expect(Model.load(path)).rejects.toThrow(/prism\.hadamard\.block_size/);
});

test("YaRN changes the scores, and parameters that cannot be run are refused", async () => {
  const tokens = [262, 72, 101, 108, 108, 111];
  const stretched = await logitsOf(writeBonsai("yarn", "PQ2_0"), tokens);
  const plain = await logitsOf(
    writeBonsai("plain", "PQ2_0", {
      "qwen3.rope.scaling.type": { type: "string", value: "none" },
      "qwen3.rope.scaling.factor": { type: "f32", value: 1 },
    }),
    tokens,
  );
  expect(maxDifference(stretched, plain)).toBeGreaterThan(0.01);
  const log = writeBonsai("log", "PQ2_0", { "qwen3.rope.scaling.yarn_log_multiplier": { type: "f32", value: 0.1 } });
  await expect(Model.load(log)).rejects.toThrow(/yarn_log_multiplier/);
});
