/** Models that are broken in one place: `Model.load` and `convert` say which, and leave nothing behind. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BitnetError, convertToGguf, FileError, Model, ModelFormatError, UnsupportedModelError } from "../../lib";
import { readGguf } from "../../lib/files/gguf";
import { bfloat, f32, writeHfFolder, type FolderChanges, type HfTensor, type Storage } from "../helpers/hf_folder";
import { temporaryFolder, writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";
import { alphabet } from "../tokenizer/vocabularies";

// A busy machine is slow.
jest.setTimeout(60_000);

const folder = temporaryFolder();
let count = 0;

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => new Error("It did not fail."),
    (error: unknown) => error,
  );

const Q = "model.layers.1.self_attn.q_proj";
const tensor =
  (name: string, change: (tensor: HfTensor) => void): NonNullable<FolderChanges["tensors"]> =>
  (tensors) =>
    change(tensors.get(name)!);
const set = (name: string, replacement: HfTensor): Pick<FolderChanges, "tensors"> => ({
  tensors: (tensors) => tensors.set(name, replacement),
});

interface BadFolder extends FolderChanges {
  storage?: Storage;
  /** Changes files when the folder is written. */
  files?: (path: string) => void;
  type: typeof BitnetError;
  /** The error names the place. */
  names: RegExp;
}

function withoutSecondShard(path: string): void {
  const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const bytes = readFileSync(join(path, "model.safetensors"));
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString()) as object;
  const map = Object.fromEntries(Object.keys(header).map((name) => [name, first]));
  renameSync(join(path, "model.safetensors"), join(path, first));
  writeFileSync(
    join(path, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: { ...map, "lm_head.weight": second } }),
  );
}

const FOLDERS: Record<string, BadFolder> = {
  "a missing shard": { files: withoutSecondShard, type: FileError, names: /model-00002-of-00002\.safetensors/ },
  "a shard that is cut short": {
    files: (path) => {
      const file = join(path, "model.safetensors");
      writeFileSync(file, readFileSync(file).subarray(0, -100));
    },
    type: ModelFormatError,
    names: /model\.safetensors.*truncated/,
  },
  "a norm of whole numbers": {
    ...set("model.norm.weight", { dtype: "I32", shape: [128], bytes: Buffer.alloc(512) }),
    type: ModelFormatError,
    names: /"model\.norm\.weight" is I32/,
  },
  "packed weights of a float type": {
    ...set(`${Q}.weight`, { dtype: "F16", shape: [32, 128], bytes: Buffer.alloc(32 * 128 * 2) }),
    type: ModelFormatError,
    names: /layers\.1\.self_attn\.q_proj\.weight" is F16/,
  },
  "a scale of whole numbers": {
    ...set(`${Q}.weight_scale`, { dtype: "I8", shape: [1], bytes: Buffer.from([1]) }),
    type: ModelFormatError,
    names: /q_proj\.weight_scale" is I8/,
  },
  "an unknown key": {
    config: { hadamard_block: 64 },
    type: UnsupportedModelError,
    names: /config\.json.*"hadamard_block"/,
  },
  "an unknown key of the quantisation": {
    config: { quantization_config: { quant_method: "bitnet", rotation: "hadamard" } },
    type: UnsupportedModelError,
    names: /"quantization_config\.rotation"/,
  },
  "a scale that is no number": {
    tensors: tensor(`${Q}.weight_scale`, ({ bytes }) => bfloat([NaN]).copy(bytes)),
    type: ModelFormatError,
    names: /layers\.1\.self_attn\.q_proj\.weight_scale.*NaN/,
  },
  "a scale that is infinite": {
    tensors: tensor(`${Q}.weight_scale`, ({ bytes }) => bfloat([Infinity]).copy(bytes)),
    type: ModelFormatError,
    names: /q_proj\.weight_scale.*Infinity/,
  },
  "a master weight that is no number": {
    storage: "master",
    tensors: tensor(`${Q}.weight`, ({ bytes }) => f32([NaN]).copy(bytes, 4 * 77)),
    type: BitnetError,
    names: /layers\.1\.self_attn\.q_proj\.weight/,
  },
  "the code 3": {
    tensors: tensor(`${Q}.weight`, ({ bytes }) => bytes.writeUInt8(0xc0, 1234)),
    type: BitnetError,
    names: /layers\.1\.self_attn\.q_proj\.weight.*code 3/,
  },
  "an embedding of fewer tokens than the vocabulary": {
    config: { vocab_size: 261 },
    type: ModelFormatError,
    names: /embed_tokens\.weight" has shape \[260, 128\].*\[261, 128\]/,
  },
  "a tokenizer of more tokens than the embedding": {
    tokenizer: (json) => Object.assign((json.model as { vocab: object }).vocab, { ą: 260 }),
    type: ModelFormatError,
    names: /260/,
  },
};

test.each(Object.keys(FOLDERS))("a folder with %s", async (name) => {
  const { storage = "packed-multiply", files, type, names, ...changes } = FOLDERS[name]!;
  const path = join(folder, String(count++));
  writeHfFolder(path, storage, changes);
  files?.(path);
  const before = readdirSync(path);
  const output = join(path, "model.gguf");
  for (const work of [() => Model.load(path), () => convertToGguf(path, output)]) {
    const error = await failure(work());
    expect(error).toBeInstanceOf(type);
    expect((error as Error).message).toMatch(names);
  }
  expect(readdirSync(path)).toEqual(before);
});

test("an added token that the model has no embedding for is left out, as a text it stays readable", async () => {
  const path = join(folder, String(count++));
  const content = "<image>";
  writeHfFolder(path, "packed-multiply", {
    tokenizer: (json) => {
      const vocab = Object.fromEntries(alphabet().map((piece, id) => [piece, id]));
      Object.assign(json.model as object, { vocab, merges: [] });
      (json.added_tokens as object[]).push({ id: 260, content, special: true, normalized: false });
    },
  });
  const output = `${path}.gguf`;
  await convertToGguf(path, output);
  for (const each of [path, output]) {
    await using model = await Model.load(each);
    const ids = await model.tokenizer.encode(content, { addSpecial: false, parseSpecial: true });
    expect([...ids]).toEqual([...Buffer.from(content)].map((byte) => alphabet().indexOf(String.fromCharCode(byte))));
    expect(model.tokenizer.decode(ids)).toBe(content);
  }
});

interface BadFile extends TinyModelOptions {
  damage?: [tensor: string, change: (bytes: Buffer) => void];
  type: typeof BitnetError;
  names: RegExp;
}

const key = (name: string): Pick<TinyModelOptions, "metadata"> => ({
  metadata: { [name]: { type: "u32", value: 64 } },
});
const DOWN = "blk.1.ffn_down.weight";
const FILES: Record<string, BadFile> = {
  "a transform of activations": {
    ...key("prism.hadamard.block_size"),
    type: UnsupportedModelError,
    names: /"prism\.hadamard\.block_size"/,
  },
  "an unknown key of its architecture": {
    ...key("bitnet-b1.58.attention.rotation"),
    type: UnsupportedModelError,
    names: /"bitnet-b1\.58\.attention\.rotation"/,
  },
  "a key of a maker that is not known": {
    ...key("quarot.online_rotation"),
    type: UnsupportedModelError,
    names: /"quarot\.online_rotation"/,
  },
  "a key of another architecture": {
    ...key("llama.rope.freq_base"),
    type: UnsupportedModelError,
    names: /"llama\.rope/,
  },
  "a tokenizer that normalises texts": {
    metadata: { "tokenizer.ggml.remove_extra_whitespaces": { type: "bool", value: true } },
    type: UnsupportedModelError,
    names: /"tokenizer\.ggml\.remove_extra_whitespaces"/,
  },
  "a scale that is no number": {
    damage: [DOWN, (bytes) => bytes.writeFloatLE(NaN, bytes.length - 32)],
    type: ModelFormatError,
    names: /blk\.1\.ffn_down\.weight.*scale/,
  },
  "the code 3": {
    damage: [DOWN, (bytes) => bytes.writeUInt8(0xc0, 17)],
    type: ModelFormatError,
    names: /blk\.1\.ffn_down\.weight.*code 3/,
  },
  "an embedding of fewer tokens than the vocabulary": {
    ...key("bitnet-b1.58.vocab_size"),
    type: ModelFormatError,
    names: /tokens.*264.*64/,
  },
};

test.each(Object.keys(FILES))("a file with %s", async (name) => {
  const { damage, type, names, ...options } = FILES[name]!;
  const path = join(folder, `${count++}.gguf`);
  writeTinyModel(path, options);
  if (damage) {
    const { offset, byteLength } = (await readGguf(path)).tensorsByName.get(damage[0])!;
    const bytes = readFileSync(path);
    damage[1](bytes.subarray(offset, offset + byteLength));
    writeFileSync(path, bytes);
  }
  const error = await failure(Model.load(path));
  expect(error).toBeInstanceOf(type);
  expect((error as Error).message).toMatch(names);
});

test("keys that programs leave behind are no features", async () => {
  const path = join(folder, `${count++}.gguf`);
  writeTinyModel(path, {
    metadata: {
      "general.quantized_by": { type: "string", value: "somebody" },
      "quantize.imatrix.file": { type: "string", value: "imatrix.dat" },
      "mradermacher.quantize_version": { type: "u32", value: 2 },
    },
  });
  await (await Model.load(path)).close();
});

test("a template that throws: the model loads, the conversation fails in the template's words, texts go on", async () => {
  const path = join(folder, `${count++}.gguf`);
  const source = "{{ raise_exception('Only one system message is allowed') }}";
  writeTinyModel(path, { metadata: { "tokenizer.chat_template": { type: "string", value: source } } });
  await using model = await Model.load(path);
  const error = await failure(model.chat().ask("Hello", { maxTokens: 2 }));
  expect(error).toBeInstanceOf(UnsupportedModelError);
  expect((error as Error).message).toMatch(/Only one system message is allowed/);
  expect((await model.generate("the", { maxTokens: 2 })).tokens.length).toBeGreaterThan(0);
});
