/** Small random models of every family as Hugging Face folders, written from the families' definitions. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bfloat, f32, packed, tokenizer, writeSafetensors, type HfTensor } from "./hf_folder";
import { normal, uniform } from "./random";

/** Families by `model_type`. */
export type FolderFamily = "bitnet" | "llama" | "qwen2" | "qwen3" | "gemma3_text";

/** What the folder shall be. */
export interface TinyFolderOptions {
  family: FolderFamily;
  layers?: number;
  heads?: number;
  kvHeads?: number;
  headDim?: number;
  width?: number;
  ffn?: number;
  /**
   * Master weights by dtype, packed ones by what their scale does, or floats that are ternary already (in F16), with a scale
   * for each 128 columns of a row or for each matrix; those have no quantization_config.
   */
  storage?: "F32" | "BF16" | "F16" | "packed-multiply" | "packed-divide" | "unpacked-groups" | "unpacked-matrix";
  /** Embedding and head are ternary too, with a scale for each 128 columns, in F16. */
  ternaryEmbedding?: boolean;
  /** Sub-norms named as in 1bitLLM's folders. */
  oldNames?: boolean;
  tied?: boolean;
  /** Norms on the input of every projection. */
  inputNorms?: boolean;
  /** Keys of config.json to add or replace. */
  config?: Record<string, unknown>;
  seed?: number;
  /** Tokens; default FOLDER_VOCABULARY. The tokenizer.json has those in any case. */
  vocabulary?: number;
}

/** Tokens of these models. */
export const FOLDER_VOCABULARY = 260;

/** Bits of |value| < 2, rounded towards zero to a half-precision number with ten fraction bits. */
function half(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  if (magnitude < 2 ** -14) return sign | Math.floor(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | ((exponent + 15) << 10) | Math.floor((magnitude / 2 ** exponent - 1) * 1024);
}

function floats(storage: string, values: readonly number[]): { dtype: string; bytes: Buffer } {
  if (storage === "F16") return { dtype: "F16", bytes: Buffer.from(Uint16Array.from(values, half).buffer) };
  return storage === "F32" ? { dtype: "F32", bytes: f32(values) } : { dtype: "BF16", bytes: bfloat(values) };
}

/** Writes the folder; the same options give the same bytes. */
export function writeTinyFolder(folder: string, options: TinyFolderOptions): void {
  const { family, layers = 2, heads = 4, kvHeads = 2, headDim = 32, ffn = 256, storage = "F32", tied = true } = options;
  const width = options.width ?? heads * headDim;
  const random = uniform(options.seed ?? 3);
  const next = normal(random);
  const { vocabulary = FOLDER_VOCABULARY } = options;
  const tensors = new Map<string, HfTensor>();
  const put = (name: string, shape: number[], values: readonly number[], dtype = "BF16"): void => {
    tensors.set(name, { ...floats(dtype, values), shape });
  };
  const norm = (name: string, length: number, base = family === "gemma3_text" ? 0 : 1): void =>
    put(
      `${name}.weight`,
      [length],
      Array.from({ length }, () => base + 0.1 * next()),
    );
  /** -s, 0 or s; one run in eight is all zeros, one weight in three is zero elsewhere. */
  const ternaryFloats = (rows: number, columns: number, size: number, one = false): number[] => {
    const anyScale = (): number => size * (0.7 + 0.6 * random());
    let scale = anyScale();
    let empty = false;
    return Array.from({ length: rows * columns }, (_, i) => {
      if ((i % columns) % 128 === 0) {
        if (!one) scale = anyScale();
        empty = random() < 0.125;
      }
      return empty ? 0 : scale * (Math.floor(random() * 3) - 1);
    });
  };
  const linear = (name: string, rows: number, columns: number): void => {
    if (storage.startsWith("packed")) {
      const codes = Array.from({ length: rows * columns }, () => Math.floor(random() * 3) - 1);
      tensors.set(`${name}.weight`, { dtype: "U8", shape: [rows / 4, columns], bytes: packed(codes, rows, columns) });
      // About 1 / sqrt(live columns), and never a power of two, so that its direction shows.
      const scale = (0.7 + 0.6 * random()) / Math.sqrt((columns * 2) / 3);
      put(`${name}.weight_scale`, [1], [storage === "packed-divide" ? 1 / scale : scale], "F32");
      return;
    }
    if (storage.startsWith("unpacked")) {
      const size = Math.sqrt(1.5 / columns);
      put(`${name}.weight`, [rows, columns], ternaryFloats(rows, columns, size, storage === "unpacked-matrix"), "F16");
      return;
    }
    const deviation = 1 / Math.sqrt(columns);
    put(
      `${name}.weight`,
      [rows, columns],
      Array.from({ length: rows * columns }, () => deviation * next()),
      storage,
    );
  };
  const projection = (block: string, name: string, rows: number, columns: number): void => {
    if (options.inputNorms) norm(`${block}.${name}_proj.norm`, columns, 1);
    linear(`${block}.${name}_proj`, rows, columns);
    if (family === "qwen2" && ["q", "k", "v"].includes(name)) {
      put(
        `${block}.${name}_proj.bias`,
        [rows],
        Array.from({ length: rows }, () => 0.3 * next()),
      );
    }
  };

  const embedding = (name: string): void => {
    if (options.ternaryEmbedding) {
      put(`${name}.weight`, [vocabulary, width], ternaryFloats(vocabulary, width, 0.3), "F16");
      return;
    }
    const values = Array.from({ length: vocabulary * width }, () => 0.25 * next());
    put(`${name}.weight`, [vocabulary, width], values);
  };
  embedding("model.embed_tokens");
  for (let i = 0; i < layers; i++) {
    const p = `model.layers.${i}`;
    norm(`${p}.input_layernorm`, width);
    projection(`${p}.self_attn`, "q", heads * headDim, width);
    projection(`${p}.self_attn`, "k", kvHeads * headDim, width);
    projection(`${p}.self_attn`, "v", kvHeads * headDim, width);
    projection(`${p}.self_attn`, "o", width, heads * headDim);
    if (family === "qwen3" || family === "gemma3_text") {
      norm(`${p}.self_attn.q_norm`, headDim);
      norm(`${p}.self_attn.k_norm`, headDim);
    }
    norm(`${p}.post_attention_layernorm`, width);
    if (family === "gemma3_text") {
      norm(`${p}.pre_feedforward_layernorm`, width);
      norm(`${p}.post_feedforward_layernorm`, width);
    }
    if (family === "bitnet") {
      norm(`${p}.self_attn.${options.oldNames ? "inner_attn_ln" : "attn_sub_norm"}`, heads * headDim);
      norm(`${p}.mlp.${options.oldNames ? "ffn_layernorm" : "ffn_sub_norm"}`, ffn);
    }
    projection(`${p}.mlp`, "gate", ffn, width);
    projection(`${p}.mlp`, "up", ffn, width);
    projection(`${p}.mlp`, "down", width, ffn);
  }
  norm("model.norm", width);
  if (!tied) embedding("lm_head");

  mkdirSync(folder, { recursive: true });
  writeSafetensors(join(folder, "model.safetensors"), tensors);
  const config = {
    model_type: family,
    [family === "gemma3_text" ? "hidden_activation" : "hidden_act"]:
      family === "gemma3_text" ? "gelu_pytorch_tanh" : family === "bitnet" ? "relu2" : "silu",
    hidden_size: width,
    intermediate_size: ffn,
    max_position_embeddings: 128,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: tied,
    vocab_size: vocabulary,
    bos_token_id: 258,
    eos_token_id: 259,
    ...(family === "gemma3_text" ? { query_pre_attn_scalar: headDim } : {}),
    ...(storage.startsWith("unpacked")
      ? {}
      : {
          quantization_config: {
            quant_method: "bitnet",
            linear_class: storage === "packed-divide" ? "bitlinear" : "autobitlinear",
            quantization_mode: storage.startsWith("packed") ? "offline" : "online",
          },
        }),
    ...options.config,
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer()));
}
