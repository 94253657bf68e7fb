/** Writes small Hugging Face BitNet folders, from the format's description and independent of lib. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { uniform } from "./random";

/** Llama 3's split pattern. */
export const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const [WIDTH, FFN, HEADS, KV_HEADS, LAYERS, VOCABULARY] = [128, 256, 4, 2, 2, 260];

/** How weights are stored. */
export type Storage = "master" | "packed-multiply" | "packed-divide";

/** Changes to the folder, for tests of refusals. */
export interface FolderChanges {
  config?: Record<string, unknown>;
  tokenizer?: (json: Record<string, unknown>) => void;
  tensors?: (tensors: Map<string, HfTensor>) => void;
}

/** A tensor of the folder. */
export interface HfTensor {
  dtype: string;
  shape: number[];
  bytes: Buffer;
}

/** Little-endian bfloat16, truncated. */
export const bfloat = (values: readonly number[]): Buffer => {
  const words = values.map((value) => {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    // Truncation: the values that tests use are short.
    return bytes.subarray(2);
  });
  return Buffer.concat(words);
};

/** Master weights whose mean magnitude is exactly 0.25 and whose ternaries are `codes`. */
function master(codes: readonly number[]): number[] {
  const live = codes.filter((code) => code !== 0).length;
  // |w| is 0.0625 where the code is zero, and the rest makes up for it in a value that f32 holds.
  const size = (0.25 * codes.length - 0.0625 * (codes.length - live)) / live;
  return codes.map((code) => (code === 0 ? 0.0625 : code * size));
}

/** Little-endian float32. */
export function f32(values: readonly number[]): Buffer {
  return Buffer.from(Float32Array.from(values).buffer);
}

/** Hugging Face's stacked quarters. */
export function packed(codes: readonly number[], rows: number, columns: number): Buffer {
  const quarter = rows / 4;
  const bytes = Buffer.alloc(quarter * columns);
  codes.forEach((code, at) => {
    const row = Math.floor(at / columns);
    bytes[(row % quarter) * columns + (at % columns)]! |= (code + 1) << (2 * Math.floor(row / quarter));
  });
  return bytes;
}

/** The codes -1, 0, 1 of every ternary matrix, by Hugging Face name without ".weight". */
export type Codes = Map<string, { rows: number; columns: number; codes: number[] }>;

/** Writes a folder and returns the codes in it; all scales are 0.25. */
export function writeHfFolder(folder: string, storage: Storage, changes: FolderChanges = {}): Codes {
  mkdirSync(folder, { recursive: true });
  const random = uniform(5);
  const tensors = new Map<string, HfTensor>();
  const codes: Codes = new Map();
  const vector = (name: string, length: number): void => {
    const values = Array.from({ length }, (_, i) => 1 + (i % 8) / 8);
    tensors.set(`${name}.weight`, { dtype: "BF16", shape: [length], bytes: bfloat(values) });
  };
  const linear = (name: string, rows: number, columns: number): void => {
    const list = Array.from({ length: rows * columns }, () => Math.floor(random() * 3) - 1);
    codes.set(name, { rows, columns, codes: list });
    if (storage === "master") {
      tensors.set(`${name}.weight`, { dtype: "F32", shape: [rows, columns], bytes: f32(master(list)) });
      return;
    }
    tensors.set(`${name}.weight`, { dtype: "U8", shape: [rows / 4, columns], bytes: packed(list, rows, columns) });
    const scale = storage === "packed-multiply" ? 0.25 : 4;
    tensors.set(`${name}.weight_scale`, { dtype: "BF16", shape: [1], bytes: bfloat([scale]) });
  };
  const embedding = Array.from({ length: VOCABULARY * WIDTH }, (_, i) => ((i % 255) - 127) / 128);
  tensors.set("model.embed_tokens.weight", { dtype: "BF16", shape: [VOCABULARY, WIDTH], bytes: bfloat(embedding) });
  const keys = (WIDTH / HEADS) * KV_HEADS;
  for (let i = 0; i < LAYERS; i++) {
    const layer = `model.layers.${i}.`;
    vector(`${layer}input_layernorm`, WIDTH);
    linear(`${layer}self_attn.q_proj`, WIDTH, WIDTH);
    linear(`${layer}self_attn.k_proj`, keys, WIDTH);
    linear(`${layer}self_attn.v_proj`, keys, WIDTH);
    vector(`${layer}self_attn.attn_sub_norm`, WIDTH);
    linear(`${layer}self_attn.o_proj`, WIDTH, WIDTH);
    vector(`${layer}post_attention_layernorm`, WIDTH);
    linear(`${layer}mlp.gate_proj`, FFN, WIDTH);
    linear(`${layer}mlp.up_proj`, FFN, WIDTH);
    vector(`${layer}mlp.ffn_sub_norm`, FFN);
    linear(`${layer}mlp.down_proj`, WIDTH, FFN);
  }
  vector("model.norm", WIDTH);
  changes.tensors?.(tensors);
  writeSafetensors(join(folder, "model.safetensors"), tensors);
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config(storage), ...changes.config }));
  const json = tokenizer();
  changes.tokenizer?.(json);
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json));
  return codes;
}

/** Writes a safetensors file. */
export function writeSafetensors(path: string, tensors: Map<string, HfTensor>): void {
  let at = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  // Padded with spaces, so that tensors are aligned.
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}

function config(storage: Storage): Record<string, unknown> {
  return {
    architectures: ["BitNetForCausalLM"],
    model_type: "bitnet",
    hidden_act: "relu2",
    hidden_size: WIDTH,
    intermediate_size: FFN,
    max_position_embeddings: 64,
    num_attention_heads: HEADS,
    num_hidden_layers: LAYERS,
    num_key_value_heads: KV_HEADS,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    vocab_size: VOCABULARY,
    bos_token_id: 258,
    eos_token_id: 259,
    quantization_config: {
      quant_method: "bitnet",
      linear_class: storage === "packed-divide" ? "bitlinear" : "autobitlinear",
      quantization_mode: storage === "master" ? "online" : "offline",
    },
  };
}

/** A tokenizer.json of 256 bytes, one merge, and the control tokens 258 and 259. */
export function tokenizer(): Record<string, unknown> {
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte++) vocab[String.fromCharCode(0x100 + byte)] = byte;
  // Any 256 characters do for a converter; two of them merge.
  const [first, second] = [String.fromCharCode(0x110), String.fromCharCode(0x111)];
  vocab[first + second] = 256;
  const special = (id: number, content: string): object => ({
    id,
    content,
    special: true,
    lstrip: false,
    rstrip: false,
    single_word: false,
    normalized: false,
  });
  return {
    added_tokens: [special(258, "<|begin|>"), special(259, "<|end|>")],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: LLAMA3_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|begin|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<|begin|>": { id: "<|begin|>", ids: [258], tokens: ["<|begin|>"] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", ignore_merges: true, vocab, merges: [`${first} ${second}`] },
  };
}
