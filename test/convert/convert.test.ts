import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { convertToGguf } from "../../lib/convert";
import { AbortError, BitnetError, InvalidOptionError, ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { readGguf, readTokenizerInfo } from "../../lib/files/gguf";
import { writeHfFolder, type Codes, type FolderChanges, type Storage } from "../helpers/hf_folder";
import { temporaryFolder } from "../helpers/tiny_model";
import { loadReference } from "../reference/model";

const folder = temporaryFolder();
let folders = 0;

function hf(storage: Storage, changes: FolderChanges = {}): { input: string; output: string; codes: Codes } {
  const input = join(folder, `${folders++}`);
  return { input, output: join(input, "model.gguf"), codes: writeHfFolder(input, storage, changes) };
}

const ROLES = {
  query: "self_attn.q_proj",
  key: "self_attn.k_proj",
  value: "self_attn.v_proj",
  attentionOutput: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
} as const;

test.each<Storage>(["master", "packed-multiply", "packed-divide"])(
  "%s: an independent reader finds the codes and a scale of 0.25",
  async (storage) => {
    const { input, output, codes } = hf(storage);
    const report = await convertToGguf(input, output);
    const { layers } = loadReference(output).weights;
    layers.forEach((layer, i) => {
      for (const [role, name] of Object.entries(ROLES) as [keyof typeof ROLES, string][]) {
        expect(layer[role].scale).toBeCloseTo(0.25, 6);
        // As bytes: comparing a hundred thousand numbers one by one takes seconds.
        const expected = Int8Array.from(codes.get(`model.layers.${i}.${name}`)!.codes);
        expect(
          Buffer.compare(Buffer.from(Int8Array.from(layer[role].codes).buffer), Buffer.from(expected.buffer)),
        ).toBe(0);
      }
    });
    const all = [...codes.values()].flatMap((matrix) => matrix.codes);
    expect(report).toMatchObject({
      ternaryWeights: all.length,
      zeros: all.filter((code) => code === 0).length,
      notes: [],
    });
    expect(report.bytes).toBe(readFileSync(output).length);
  },
);

test("master and packed forms of one model give the same bytes of codes", async () => {
  const [a, b] = [hf("master"), hf("packed-multiply")];
  await Promise.all([convertToGguf(a.input, a.output), convertToGguf(b.input, b.output)]);
  const [fileA, fileB] = [await readGguf(a.output), await readGguf(b.output)];
  const [bytesA, bytesB] = [readFileSync(a.output), readFileSync(b.output)];
  for (const { name, offset, byteLength, format } of fileA.tensors) {
    const other = fileB.tensorsByName.get(name)!;
    const end = format === "i2_s" ? byteLength - 32 : byteLength;
    expect(bytesA.subarray(offset, offset + end).equals(bytesB.subarray(other.offset, other.offset + end))).toBe(true);
  }
});

test("hyper-parameters, tokenizer and options stand in the file", async () => {
  const { input, output } = hf("master");
  await convertToGguf(input, output, { name: "A model", license: "mit", chatTemplate: "{{ messages }}" });
  const file = await readGguf(output);
  const value = (key: string): unknown => file.metadata.get(key)?.value;
  expect([value("general.architecture"), value("general.name"), value("general.license")]).toEqual([
    "bitnet-b1.58",
    "A model",
    "mit",
  ]);
  expect(value("bitnet-b1.58.hidden_activation")).toBe("relu2");
  expect([value("bitnet-b1.58.context_length"), value("bitnet-b1.58.attention.head_count_kv")]).toEqual([64, 2]);
  const vocabulary = readTokenizerInfo(file);
  expect(vocabulary).toMatchObject({
    model: "gpt2",
    pre: "llama-bpe",
    bosId: 258,
    eosId: 259,
    addBos: true,
    chatTemplate: "{{ messages }}",
  });
  // Id 257 has no token: a place holder that no text reaches.
  expect([vocabulary.tokens.at(256), vocabulary.tokens.at(258), vocabulary.tokenTypes[257]]).toEqual([
    "\u0110\u0111",
    "<|begin|>",
    5,
  ]);
});

test("a SiLU model is a bitnet file, for readers that tell activations by the architecture", async () => {
  const { input, output } = hf("master", { config: { hidden_act: "silu" } });
  expect((await convertToGguf(input, output)).architecture).toBe("bitnet");
  expect(loadReference(output).weights.activation).toBe("silu");
});

test("the report says what rounding to f16 cost, and f32 costs nothing", async () => {
  const lowest = 2 ** -30;
  const { input, output } = hf("master", {
    tensors: (tensors) => tensors.get("model.embed_tokens.weight")!.bytes.writeUInt16LE((127 - 30) << 7, 0),
  });
  const half = await convertToGguf(input, output);
  expect(half.rounding).toEqual({ inexact: 1, maxError: lowest });
  expect(half.notes[0]).toMatch(/1 embedding values are not exact in f16/);
  for (const embeddingType of ["f32", "bf16"] as const) {
    expect((await convertToGguf(input, output, { embeddingType })).rounding.inexact).toBe(0);
    expect(loadReference(output).weights.embedding.values[0]).toBe(lowest);
  }
});

const q0 = "model.layers.0.self_attn.q_proj";
test.each<[string, Storage, FolderChanges, RegExp, typeof BitnetError]>([
  ["another model type", "master", { config: { model_type: "mamba" } }, /model_type.*"mamba"/, UnsupportedModelError],
  ["an unknown key", "master", { config: { sliding_window: 4 } }, /"sliding_window"/, UnsupportedModelError],
  ["RoPE scaling", "master", { config: { rope_scaling: { type: "dynamic" } } }, /rope_scaling/, UnsupportedModelError],
  ["biases", "master", { config: { attention_bias: true } }, /attention_bias/, UnsupportedModelError],
  ["another activation", "master", { config: { hidden_act: "gelu" } }, /hidden_act.*"gelu"/, ModelFormatError],
  [
    "no quantisation",
    "master",
    { config: { quantization_config: undefined } },
    /quantization_config/,
    UnsupportedModelError,
  ],
  [
    "unknown scales",
    "packed-divide",
    {
      config: {
        quantization_config: { quant_method: "bitnet", linear_class: "bitlinear", quantization_mode: "online" },
      },
    },
    /scales are not known/,
    UnsupportedModelError,
  ],
  [
    "master weights that claim to be packed",
    "master",
    {
      config: {
        quantization_config: { quant_method: "bitnet", linear_class: "autobitlinear", quantization_mode: "offline" },
      },
    },
    /q_proj/,
    ModelFormatError,
  ],
  ["another width", "master", { config: { hidden_size: 256 } }, /shape/, ModelFormatError],
  [
    "a missing tensor",
    "master",
    { tensors: (t) => t.delete("model.norm.weight") },
    /model\.norm\.weight" is missing/,
    ModelFormatError,
  ],
  [
    "a bias",
    "master",
    { tensors: (t) => t.set(`${q0}.bias`, { dtype: "F32", shape: [1], bytes: Buffer.alloc(4) }) },
    /q_proj\.bias/,
    UnsupportedModelError,
  ],
  [
    "a scale of zero",
    "packed-multiply",
    { tensors: (t) => t.get(`${q0}.weight_scale`)!.bytes.fill(0) },
    /weight_scale.*positive/,
    BitnetError,
  ],
  [
    "code 3",
    "packed-multiply",
    { tensors: (t) => t.get(`${q0}.weight`)!.bytes.fill(0xff) },
    /q_proj\.weight.*code 3/,
    BitnetError,
  ],
  [
    "weights that are no numbers",
    "master",
    { tensors: (t) => t.get(`${q0}.weight`)!.bytes.fill(0xff) },
    /q_proj\.weight/,
    BitnetError,
  ],
  [
    "an unknown split pattern",
    "master",
    { tokenizer: (json) => Object.assign(json, { pre_tokenizer: { type: "Whitespace" } }) },
    /splits text/,
    UnsupportedModelError,
  ],
  [
    "a normalizer",
    "master",
    { tokenizer: (json) => Object.assign(json, { normalizer: { type: "NFKC" } }) },
    /normalises/,
    UnsupportedModelError,
  ],
  [
    "a merge of no tokens",
    "master",
    { tokenizer: (json) => ((json.model as { merges: string[] }).merges = ["x y"]) },
    /merge 0/,
    ModelFormatError,
  ],
  [
    "merges that matter",
    "master",
    { tokenizer: (json) => Object.assign(json.model as object, { ignore_merges: false, merges: [] }) },
    /does not merge into itself/,
    UnsupportedModelError,
  ],
  ["a token outside", "master", { config: { eos_token_id: 260 } }, /260/, ModelFormatError],
])("%s is refused, and nothing is written", async (_, storage, changes, message, type) => {
  const { input, output } = hf(storage, changes);
  const error: unknown = await convertToGguf(input, output).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(type);
  expect((error as Error).message).toMatch(message);
  expect(existsSync(output)).toBe(false);
});

test("options", async () => {
  const { input, output } = hf("master");
  await expect(convertToGguf(input, output, { embeddingType: "q4" as "f16" })).rejects.toThrow(InvalidOptionError);
  await expect(convertToGguf(input, output, { signal: AbortSignal.abort() })).rejects.toThrow(AbortError);
  expect(existsSync(output)).toBe(false);
  const shares: number[] = [];
  await convertToGguf(input, output, { onProgress: (share) => shares.push(share) });
  expect(shares.at(-1)).toBe(1);
  writeFileSync(join(input, "config.json"), "{");
  await expect(convertToGguf(input, output)).rejects.toThrow(/config\.json.*JSON/);
});
