import { join } from "node:path";
import type { TensorRef } from "../../types/addon";
import { architectureNames, describeModel } from "../../lib/architectures";
import { estimateMemory, type KvType, type MemoryEstimate } from "../../lib/engine";
import type { BitnetError } from "../../lib/errors";
import { ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf, readTokenizerInfo } from "../../lib/files/gguf";
import { writeGguf, type GgufToWrite, type MetadataValue, type TensorToWrite } from "../helpers/gguf_builder";
import {
  temporaryFolder,
  TINY_BOS,
  TINY_EOS,
  TINY_VOCABULARY,
  writeTinyModel,
  type TinyModelOptions,
} from "../helpers/tiny_model";

// A busy machine is slow.
jest.setTimeout(60_000);

const folder = temporaryFolder();
let files = 0;

async function tiny(options: TinyModelOptions = {}): Promise<Awaited<ReturnType<typeof readGguf>>> {
  const path = join(folder, `${files++}.gguf`);
  writeTinyModel(path, options);
  return readGguf(path);
}

const u32 = (value: number): MetadataValue => ({ type: "u32", value });
const f32 = (value: number): MetadataValue => ({ type: "f32", value });
const text = (value: string): MetadataValue => ({ type: "string", value });

test("roles, shapes and hyper-parameters", async () => {
  const file = await tiny({ layers: 3, heads: 4, kvHeads: 2, headDim: 16, ffn: 384, context: 99, ropeTheta: 500000 });
  const spec = describeModel(file);
  expect(spec).toMatchObject({
    files: [file.path],
    architecture: "bitnet-b1.58",
    vocabularySize: TINY_VOCABULARY,
    contextLength: 99,
    embeddingLength: 64,
    layerCount: 3,
    headCount: 4,
    headCountKv: 2,
    headDim: 16,
    ffnLength: 384,
    activation: "relu2",
    rope: { theta: 500000, dimensions: 16, positionScale: 1 },
    embeddingScale: 1,
  });
  expect(spec.rmsNormEpsilon).toBeCloseTo(1e-5, 10);
  expect(spec.output).toBeUndefined();
  const shape = (name: string, rows: number, columns: number): object => ({
    name: `blk.2.${name}.weight`,
    rows,
    columns,
  });
  expect(spec.layers[2]).toMatchObject({
    attnNorm: shape("attn_norm", 1, 64),
    q: { ...shape("attn_q", 64, 64), format: "i2_s", byteLength: 64 * 16 + 32 },
    k: shape("attn_k", 32, 64),
    v: shape("attn_v", 32, 64),
    attnSubNorm: shape("attn_sub_norm", 1, 64),
    attnOutput: shape("attn_output", 64, 64),
    ffnNorm: shape("ffn_norm", 1, 64),
    gate: shape("ffn_gate", 384, 64),
    up: shape("ffn_up", 384, 64),
    ffnSubNorm: shape("ffn_sub_norm", 1, 384),
    down: shape("ffn_down", 64, 384),
  });
  for (const { name, offset } of Object.values(spec.layers[1]!) as TensorRef[])
    expect(offset).toBe(file.tensorsByName.get(name)?.offset);
});

test.each([
  ["bitnet-b1.58", undefined, "relu2"],
  ["bitnet-25", undefined, "relu2"],
  ["bitnet", undefined, "silu"],
  ["bitnet", "relu2", "relu2"],
  ["bitnet-b1.58", "silu", "silu"],
] as const)("activation of %s with %s stated is %s", async (architecture, stated, activation) => {
  const metadata = stated ? { [`${architecture}.hidden_activation`]: text(stated) } : {};
  expect(describeModel(await tiny({ architecture, metadata })).activation).toBe(activation);
});

test("a head of its own", async () => {
  expect(describeModel(await tiny({ head: "F32" })).output).toMatchObject({
    name: "output.weight",
    format: "f32",
    rows: TINY_VOCABULARY,
  });
});

test("linear RoPE scaling divides positions", async () => {
  const metadata = { "bitnet-b1.58.rope.scaling.type": text("linear"), "bitnet-b1.58.rope.scaling.factor": f32(4) };
  expect(describeModel(await tiny({ metadata })).rope.positionScale).toBe(0.25);
});

test("heads whose length is stated", async () => {
  const spec = describeModel(await tiny({ width: 64, heads: 4, headDim: 32 }));
  expect([spec.headDim, spec.layers[0]?.q.rows, spec.embeddingLength]).toEqual([32, 128, 64]);
});

const b = "bitnet-b1.58.";
test.each<[string, Record<string, MetadataValue | undefined>, RegExp, typeof BitnetError]>([
  [
    "an unknown architecture",
    { "general.architecture": text("mamba") },
    /"mamba".*bitnet-b1\.58/,
    UnsupportedModelError,
  ],
  ["one part of several", { "split.count": u32(2) }, /one of 2 parts/, UnsupportedModelError],
  ["a Hadamard transform", { "prism.hadamard.size": u32(64) }, /prism\.hadamard\.size/, UnsupportedModelError],
  ["no architecture", { "general.architecture": undefined }, /general\.architecture/, ModelFormatError],
  ["an unknown key", { [`${b}attention.sliding_window`]: u32(7) }, /attention\.sliding_window/, UnsupportedModelError],
  [
    "an unknown activation",
    { [`${b}hidden_activation`]: text("gelu") },
    /hidden_activation.*"gelu"/,
    UnsupportedModelError,
  ],
  ["an unknown scaling", { [`${b}rope.scaling.type`]: text("dynamic") }, /"dynamic"/, ModelFormatError],
  [
    "YaRN without its original context",
    { [`${b}rope.scaling.type`]: text("yarn"), [`${b}rope.scaling.factor`]: f32(4) },
    /original_context_length.*missing/,
    ModelFormatError,
  ],
  ["a scaling factor of unknown kind", { [`${b}rope.scaling.factor`]: f32(2) }, /scaling\.type/, ModelFormatError],
  ["a missing block count", { [`${b}block_count`]: undefined }, /block_count.*missing/, ModelFormatError],
  ["a block count of the wrong type", { [`${b}block_count`]: f32(2) }, /block_count.*integer/, ModelFormatError],
  ["a block count of zero", { [`${b}block_count`]: u32(0) }, /block_count" is 0/, ModelFormatError],
  [
    "more blocks than the file has",
    { [`${b}block_count`]: u32(3) },
    /blk\.2\.attn_norm\.weight" is missing/,
    ModelFormatError,
  ],
  [
    "fewer blocks than the file has",
    { [`${b}block_count`]: u32(1) },
    /blk\.1\.attn_norm\.weight/,
    UnsupportedModelError,
  ],
  ["an absurd block count", { [`${b}block_count`]: u32(4e9) }, /block_count/, ModelFormatError],
  [
    "another FFN length",
    { [`${b}feed_forward_length`]: u32(128) },
    /ffn_gate\.weight" has shape \[128, 256\]/,
    ModelFormatError,
  ],
  ["KV heads that don't divide", { [`${b}attention.head_count_kv`]: u32(3) }, /head_count_kv/, ModelFormatError],
  ["heads that don't divide", { [`${b}attention.head_count`]: u32(5) }, /head_count/, ModelFormatError],
  ["an epsilon of zero", { [`${b}attention.layer_norm_rms_epsilon`]: f32(0) }, /rms_epsilon/, ModelFormatError],
  [
    "an epsilon that is no number",
    { [`${b}attention.layer_norm_rms_epsilon`]: f32(NaN) },
    /rms_epsilon/,
    ModelFormatError,
  ],
  ["an infinite RoPE base", { [`${b}rope.freq_base`]: f32(Infinity) }, /freq_base/, ModelFormatError],
  ["too many rotated dimensions", { [`${b}rope.dimension_count`]: u32(64) }, /dimension_count/, ModelFormatError],
  ["odd rotated dimensions", { [`${b}rope.dimension_count`]: u32(15) }, /even/, ModelFormatError],
  ["another vocabulary size", { [`${b}vocab_size`]: u32(265) }, /tokens/, ModelFormatError],
  ["values unlike keys", { [`${b}attention.value_length`]: u32(16) }, /value_length/, ModelFormatError],
  [
    "attention that isn't causal",
    { [`${b}attention.causal`]: { type: "bool", value: false } },
    /causal/,
    ModelFormatError,
  ],
])("%s is refused", async (_, metadata, message, type) => {
  const file = await tiny({ metadata });
  let error: unknown;
  try {
    describeModel(file);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(type);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).toContain(file.path);
});

describe("tensors", () => {
  const width = 128;
  const matrix = (role: string, type: "I2_S" | "F16" = "I2_S"): TensorToWrite => ({
    name: `blk.0.${role}.weight`,
    type,
    shape: [width, width],
    bytes: Buffer.alloc(type === "I2_S" ? (width * width) / 4 + 32 : 2 * width * width),
  });
  const norm = (name: string, type: "F32" | "F16" = "F32"): TensorToWrite => ({
    name: `${name}.weight`,
    type,
    shape: [width],
    bytes: Buffer.alloc(width * (type === "F32" ? 4 : 2)),
  });
  const tensors: TensorToWrite[] = [
    { name: "token_embd.weight", type: "F16", shape: [width, width], bytes: Buffer.alloc(2 * width * width) },
    norm("output_norm"),
    ...["attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm"].map((role) => norm(`blk.0.${role}`)),
    ...["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"].map((role) => matrix(role)),
  ];
  const gguf = (list: TensorToWrite[]): GgufToWrite => ({
    metadata: {
      "general.architecture": text("bitnet"),
      "bitnet.context_length": u32(64),
      "bitnet.embedding_length": u32(width),
      "bitnet.block_count": u32(1),
      "bitnet.feed_forward_length": u32(width),
      "bitnet.attention.head_count": u32(2),
      "bitnet.attention.layer_norm_rms_epsilon": f32(1e-6),
    },
    tensors: list,
  });
  const describeWith = async (list: TensorToWrite[]): Promise<unknown> => {
    const path = join(folder, `${files++}.gguf`);
    writeGguf(path, gguf(list));
    return describeModel(await readGguf(path));
  };

  test("the plain set, with what the file leaves out at its default", async () => {
    expect(await describeWith(tensors)).toMatchObject({
      headCountKv: 2,
      vocabularySize: 128,
      rope: { theta: 10000, dimensions: 64 },
    });
  });

  test.each(tensors.map(({ name }) => name))("without %s", async (name) => {
    await expect(describeWith(tensors.filter((tensor) => tensor.name !== name))).rejects.toThrow(
      `"${name}" is missing`,
    );
  });

  test.each(["blk.0.attn_q.bias", "blk.0.attn_q.scale", "rope_freqs.weight", "blk.7.ffn_up.weight"])(
    "with %s besides",
    async (name) => {
      const extra: TensorToWrite = { name, type: "F32", shape: [width], bytes: Buffer.alloc(4 * width) };
      await expect(describeWith([...tensors, extra])).rejects.toThrow(`"${name}"`);
    },
  );

  test("dense linear weights are refused, and norms in anything but floats", async () => {
    const replaced = (other: TensorToWrite): TensorToWrite[] => tensors.map((t) => (t.name === other.name ? other : t));
    await expect(describeWith(replaced(matrix("ffn_up", "F16")))).rejects.toThrow(/ffn_up.*f16.*neither ternary/);
    await expect(describeWith(replaced(norm("blk.0.ffn_norm", "F16")))).resolves.toBeDefined();
    const blocks: TensorToWrite = {
      name: "blk.0.ffn_norm.weight",
      type: "Q8_0",
      shape: [width],
      bytes: Buffer.alloc((width / 32) * 34),
    };
    await expect(describeWith(replaced(blocks))).rejects.toThrow(/ffn_norm.*q8_0/);
  });
});

describe("the vocabulary", () => {
  test("of a tiny model", async () => {
    const vocabulary = readTokenizerInfo(await tiny());
    expect(vocabulary).toMatchObject({
      model: "gpt2",
      pre: "llama-bpe",
      bosId: TINY_BOS,
      eosId: TINY_EOS,
      eosIds: [TINY_EOS],
      addBos: true,
    });
    expect([vocabulary.tokens.length, vocabulary.tokens.at(0x41), vocabulary.merges?.at(0)]).toEqual([
      TINY_VOCABULARY,
      "A",
      "t h",
    ]);
    expect([vocabulary.tokenTypes[0], vocabulary.tokenTypes[TINY_BOS]]).toEqual([1, 3]);
    expect("padId" in vocabulary).toBe(false);
  });

  test.each<[string, Record<string, MetadataValue | undefined>, RegExp]>([
    ["no tokenizer", { "tokenizer.ggml.model": undefined }, /has no tokenizer/],
    ["no tokens", { "tokenizer.ggml.tokens": undefined }, /has no tokenizer/],
    ["no merges", { "tokenizer.ggml.merges": undefined }, /merges/],
    ["no pre-tokenizer", { "tokenizer.ggml.pre": undefined }, /tokenizer\.ggml\.pre.*wrong tokens silently/],
    ["too few types", { "tokenizer.ggml.token_type": { type: "i32s", value: [1, 2] } }, /2 entries for 264/],
    [
      "an unknown type",
      { "tokenizer.ggml.token_type": { type: "i32s", value: new Array<number>(264).fill(9) } },
      /type 9/,
    ],
    ["a BOS outside", { "tokenizer.ggml.bos_token_id": u32(264) }, /bos_token_id" is 264/],
    ["a BOS that is missing", { "tokenizer.ggml.bos_token_id": undefined }, /bos_token_id/],
    ["tokens that are numbers", { "tokenizer.ggml.tokens": { type: "i32s", value: [1] } }, /array of strings/],
  ])("%s is refused", async (_, metadata, message) => {
    const path = join(folder, `${files++}.gguf`);
    writeTinyModel(path, { metadata });
    const file = await readGguf(path);
    expect(() => readTokenizerInfo(file)).toThrow(message);
  });

  test.each([
    ["bitnet-b1.58", 128256, true],
    ["bitnet-25", 128256, true],
    ["bitnet-b1.58", 128000, false],
    ["bitnet", 128256, false],
  ] as const)(
    "a %s file of %i tokens without pre-tokenizer: Llama 3's is assumed: %s",
    async (architecture, size, assumed) => {
      const path = join(folder, `${files++}.gguf`);
      writeGguf(path, {
        metadata: {
          "general.architecture": text(architecture),
          "tokenizer.ggml.model": text("gpt2"),
          "tokenizer.ggml.tokens": { type: "strings", value: Array.from({ length: size }, (_, i) => `t${i}`) },
          "tokenizer.ggml.merges": { type: "strings", value: [] },
        },
        tensors: [],
      });
      const file = await readGguf(path);
      if (assumed) expect(readTokenizerInfo(file).pre).toBe("llama-bpe");
      else expect(() => readTokenizerInfo(file)).toThrow(UnsupportedModelError);
    },
  );
});

test("the memory of the bundled model follows from its card, the context and the KV type", async () => {
  const spec = describeModel(await readGguf(BUNDLED_MODEL_PATH));
  const estimate = (contextLength: number, kvType: KvType): MemoryEstimate =>
    estimateMemory(spec, { contextLength, kvType, maxBatchTokens: 512 });
  // 6 layers, keys and values of 2 heads of 64, 512 positions, two bytes each.
  const kvBytes = 6 * 2 * 128 * 512 * 2;
  expect(estimate(512, "f16")).toMatchObject({ packedBytes: 4_718_592 / 4, kvBytes });
  // Blocks of 32 positions; a float beside each head's int8 values.
  expect(estimate(481, "f16").kvBytes).toBe(kvBytes);
  expect(estimate(512, "f32").kvBytes).toBe(2 * kvBytes);
  expect(estimate(512, "int8").kvBytes).toBe(6 * 2 * 2 * 512 * (64 + 4));
});

test("architecture names", () => {
  expect(architectureNames()).toEqual(expect.arrayContaining(["bitnet-b1.58", "bitnet-25", "bitnet"]));
});
