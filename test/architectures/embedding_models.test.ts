/** BitNet-embedding as bitnet.cpp's converter writes it: names of its own, half-precision norms, a token behind texts. */
import { join } from "node:path";
import { Model } from "../../lib";
import { maxDifference, rowsOf } from "../helpers/compare";
import { writeGguf, type MetadataValue, type TensorToWrite } from "../helpers/gguf_builder";
import { uniform } from "../helpers/random";
import { TINY_EOS, TINY_VOCABULARY, temporaryFolder, tinyVocabulary } from "../helpers/tiny_model";
import { randomDense, randomTernary } from "../helpers/weight_writers";
import { loadReference } from "../reference/model";
import { tieFreePrompt } from "../reference/ties";

jest.setTimeout(120_000);

const folder = temporaryFolder();

interface Shape {
  architecture: "qwen3" | "gemma3";
  width: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  headDim: number;
}

function write({ architecture, width, ffn, heads, kvHeads, headDim }: Shape): string {
  const random = uniform(3);
  const norm = (name: string, length: number): TensorToWrite => ({
    ...randomDense(`${name}.weight`, "F16", 1, length, random),
    shape: [length],
  });
  const matrix = (name: string, rows: number, columns: number): TensorToWrite =>
    randomTernary(`${name}.weight`, rows, columns, random);
  const p = "blk.0";
  const gemma = architecture === "gemma3";
  const tensors = [
    randomDense("token_embd.weight", "F16", TINY_VOCABULARY, width, random),
    norm("output_norm", width),
    norm(`${p}.attn_norm`, width),
    norm(`${p}.ffn_norm`, width),
    ...(gemma ? [norm(`${p}.post_attention_norm`, width), norm(`${p}.post_ffw_norm`, width)] : []),
    norm(`${p}.attn_q_norm`, headDim),
    norm(`${p}.attn_k_norm`, headDim),
    ...["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"].map((name) => norm(`${p}.${name}_norm_in`, width)),
    norm(`${p}.attn_output_norm_in`, heads * headDim),
    norm(`${p}.ffn_down_norm_in`, ffn),
    matrix(`${p}.attn_q`, heads * headDim, width),
    matrix(`${p}.attn_k`, kvHeads * headDim, width),
    matrix(`${p}.attn_v`, kvHeads * headDim, width),
    matrix(`${p}.attn_output`, width, heads * headDim),
    matrix(`${p}.ffn_gate`, ffn, width),
    matrix(`${p}.ffn_up`, ffn, width),
    matrix(`${p}.ffn_down`, width, ffn),
  ];
  const u32 = (value: number): MetadataValue => ({ type: "u32", value });
  const f32 = (value: number): MetadataValue => ({ type: "f32", value });
  const own: Record<string, MetadataValue> = {
    vocab_size: u32(TINY_VOCABULARY),
    block_count: u32(1),
    context_length: u32(128),
    embedding_length: u32(width),
    feed_forward_length: u32(ffn),
    "attention.head_count": u32(heads),
    "attention.head_count_kv": u32(kvHeads),
    "attention.key_length": u32(headDim),
    "attention.value_length": u32(headDim),
    "attention.layer_norm_rms_epsilon": f32(1e-6),
    "rope.dimension_count": u32(headDim),
    "rope.freq_base": f32(gemma ? 10000 : 1000000),
    pooling_type: u32(3),
  };
  const path = join(folder, `${architecture}.gguf`);
  writeGguf(path, {
    metadata: {
      "general.architecture": { type: "string", value: architecture },
      "general.file_type": u32(40),
      ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value])),
      ...tinyVocabulary(),
      "tokenizer.ggml.add_bos_token": { type: "bool", value: false },
      "tokenizer.ggml.add_eos_token": { type: "bool", value: true },
    },
    tensors,
  });
  return path;
}

test.each<Shape>([
  { architecture: "qwen3", width: 128, ffn: 256, heads: 4, kvHeads: 2, headDim: 64 },
  { architecture: "gemma3", width: 128, ffn: 256, heads: 2, kvHeads: 1, headDim: 256 },
])("$architecture against the reference, and its vectors", async (shape) => {
  const path = write(shape);
  const prompt = tieFreePrompt(loadReference(path, { kv: "f32" }), 6, uniform(7));
  const model = await Model.load(path, { kvType: "f32", threads: 2 });
  try {
    const rows = rowsOf(await model.evaluate(prompt.tokens), TINY_VOCABULARY);
    const worst = Math.max(...rows.map((row, i) => maxDifference(row, prompt.logits[i]!)));
    expect(worst).toBeLessThan(1e-3);
    expect(model.info.pooling).toBe("last");
    // The last token is the one behind the text, so a text's vector is not that of its own last token.
    expect([...(await model.tokenizer.encode("ab"))]).toEqual([97, 98, TINY_EOS]);
    const [text, tokens, bare] = await model.embed(["ab", [97, 98, TINY_EOS], [97, 98]]);
    expect(text).toEqual(tokens);
    expect(maxDifference(text!, bare!)).toBeGreaterThan(1e-3);
    expect(Math.hypot(...text!)).toBeCloseTo(1, 5);
  } finally {
    await model.close();
  }
});
