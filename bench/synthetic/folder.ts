import { randomFillSync } from "node:crypto";
import { mkdirSync, openSync, writeFileSync, writeSync, closeSync } from "node:fs";
import { join } from "node:path";
import type { GgufValue } from "../../lib/files/gguf";
import type { Shape } from "./shapes";
import { syntheticVocabulary } from "./vocabulary";

/** How the projections are stored: as Llama3-8B-1.58 has them, or master weights. */
export type FolderStorage = "packed" | "bf16";

/** Bytes written at a time. */
const PIECE = 1 << 22;

/** Bytes of a shard from which on the next tensor goes into another. */
const SHARD_BYTES = 4e9;

interface Planned {
  name: string;
  dtype: "BF16" | "U8" | "F32";
  shape: number[];
  fill: (bytes: Buffer) => void;
}

/**
 * Writes a Hugging Face folder of a llama model with random weights, in shards.
 * @returns bytes of its safetensors files
 */
export function generateFolder(path: string, shape: Shape, storage: FolderStorage): number {
  mkdirSync(path, { recursive: true });
  const shards: Planned[][] = [[]];
  let size = 0;
  for (const tensor of plan(shape, storage)) {
    if (size > SHARD_BYTES) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)?.push(tensor);
    size += bytesOf(tensor);
  }
  const weights: Record<string, string> = {};
  let total = 0;
  shards.forEach((tensors, i) => {
    const file = `model-${String(i + 1).padStart(5, "0")}-of-${String(shards.length).padStart(5, "0")}.safetensors`;
    total += writeShard(join(path, file), tensors);
    for (const { name } of tensors) weights[name] = file;
  });
  writeJson(path, "model.safetensors.index.json", { metadata: { total_size: total }, weight_map: weights });
  const metadata = new Map(syntheticVocabulary(shape.vocabulary));
  writeJson(path, "config.json", config(shape, storage, metadata));
  writeJson(path, "tokenizer.json", tokenizer(metadata));
  return total;
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value));
}

function* plan(shape: Shape, storage: FolderStorage): Generator<Planned> {
  const { width, ffn, layers, vocabulary } = shape;
  const keys = (width / shape.heads) * shape.kvHeads;
  const floats = (name: string, dims: number[], mean: number, deviation: number): Planned => ({
    name: `${name}.weight`,
    dtype: "BF16",
    shape: dims,
    fill: bfloatFiller(mean, deviation),
  });
  function* linear(name: string, rows: number, columns: number): Generator<Planned> {
    if (storage === "bf16") {
      yield floats(name, [rows, columns], 0, 1 / Math.sqrt(columns));
      return;
    }
    yield { name: `${name}.weight`, dtype: "U8", shape: [rows / 4, columns], fill: fillCodes };
    // Divides, as in the published models.
    const scale = (bytes: Buffer): unknown => bytes.writeFloatLE(Math.sqrt((columns * 2) / 3));
    yield { name: `${name}.weight_scale`, dtype: "F32", shape: [1], fill: scale };
  }
  yield floats("model.embed_tokens", [vocabulary, width], 0, 0.25);
  for (let i = 0; i < layers; i++) {
    const p = `model.layers.${i}`;
    yield floats(`${p}.input_layernorm`, [width], 1, 0.1);
    yield* linear(`${p}.self_attn.q_proj`, width, width);
    yield* linear(`${p}.self_attn.k_proj`, keys, width);
    yield* linear(`${p}.self_attn.v_proj`, keys, width);
    yield* linear(`${p}.self_attn.o_proj`, width, width);
    yield floats(`${p}.post_attention_layernorm`, [width], 1, 0.1);
    yield* linear(`${p}.mlp.gate_proj`, ffn, width);
    yield* linear(`${p}.mlp.up_proj`, ffn, width);
    yield* linear(`${p}.mlp.down_proj`, width, ffn);
  }
  yield floats("model.norm", [width], 1, 0.1);
  yield floats("lm_head", [vocabulary, width], 0, 0.25);
}

/** The 81 bytes of four codes 0, 1, 2. */
const CODES = Uint8Array.from({ length: 256 }, (_, byte) =>
  [0, 1, 2, 3].reduce((packed, place) => packed | ((Math.floor(byte / 3 ** place) % 3) << (2 * place)), 0),
);

function fillCodes(bytes: Buffer): void {
  randomFillSync(bytes);
  for (let i = 0; i < bytes.length; i++) bytes[i] = CODES[bytes[i] ?? 0] ?? 0;
}

/** About normal: a table of 256 quantiles. */
function bfloatFiller(mean: number, deviation: number): (bytes: Buffer) => void {
  const values = Float32Array.from({ length: 256 }, (_, i) => {
    const p = (i + 0.5) / 256;
    return mean + (deviation * Math.log(p / (1 - p))) / 1.702;
  });
  const high = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
  return (bytes) => {
    const random = randomFillSync(Buffer.alloc(bytes.length / 2));
    const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    for (let i = 0; i < words.length; i++) words[i] = high[random[i] ?? 0] ?? 0;
  };
}

function bytesOf({ dtype, shape }: Planned): number {
  const item = dtype === "U8" ? 1 : dtype === "BF16" ? 2 : 4;
  return shape.reduce((product, count) => product * count, item);
}

function writeShard(path: string, tensors: readonly Planned[]): number {
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const tensor of tensors) {
    const end = at + bytesOf(tensor);
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [at, end] };
    at = end;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(path, "w");
  try {
    writeSync(file, length);
    writeSync(file, text);
    for (const tensor of tensors) {
      for (let left = bytesOf(tensor); left > 0; left -= PIECE) {
        const piece = Buffer.allocUnsafeSlow(Math.min(PIECE, left));
        tensor.fill(piece);
        writeSync(file, piece);
      }
    }
  } finally {
    closeSync(file);
  }
  return at;
}

type Metadata = ReadonlyMap<string, GgufValue>;

function config(shape: Shape, storage: FolderStorage, metadata: Metadata): Record<string, unknown> {
  const master = { quant_method: "bitnet", linear_class: "autobitlinear", quantization_mode: "online" };
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: shape.width,
    intermediate_size: shape.ffn,
    max_position_embeddings: shape.context,
    num_attention_heads: shape.heads,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.kvHeads,
    rms_norm_eps: 1e-5,
    rope_theta: shape.ropeTheta,
    tie_word_embeddings: false,
    vocab_size: shape.vocabulary,
    bos_token_id: metadata.get("tokenizer.ggml.bos_token_id")?.value,
    eos_token_id: metadata.get("tokenizer.ggml.eos_token_id")?.value,
    quantization_config: storage === "bf16" ? master : { quant_method: "bitnet", modules_to_not_convert: null },
  };
}

/** The synthetic GGUF vocabulary as a tokenizer.json. */
function tokenizer(metadata: Metadata): Record<string, unknown> {
  const words = metadata.get("tokenizer.ggml.bos_token_id")?.value as number;
  const tokens = metadata.get("tokenizer.ggml.tokens")?.value as string[];
  const merges = metadata.get("tokenizer.ggml.merges")?.value as string[];
  const special = (content: string, i: number): object => ({
    id: words + i,
    content,
    special: true,
    normalized: false,
  });
  const pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
    "\\s+(?!\\S)|\\s+";
  return {
    added_tokens: tokens.slice(words).map(special),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      ignore_merges: true,
      vocab: Object.fromEntries(tokens.slice(0, words).map((token, id) => [token, id])),
      merges,
    },
  };
}
