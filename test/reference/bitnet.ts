/**
 * BitNet b1.58 models (`bitnet-b1.58`, `bitnet-25`, `bitnet`): names and hyper-parameters of GGUF files and Hugging Face
 * folders to `DecoderWeights`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DecoderWeights, LayerWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { decodeEmbedding, decodeLinear } from "./blocks";
import { readSafetensors } from "./safetensors";
import { decodePackedUint8, quantiseMaster, type DenseMatrix } from "./weights";
import type { StoredTensor, TernaryMatrix } from "./weights";

type Activation = DecoderWeights["activation"];

function required(tensors: Map<string, StoredTensor>, name: string): StoredTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`the model lacks ${name}`);
  return tensor;
}

function expectShapes(weights: DecoderWeights): DecoderWeights {
  const width = weights.embedding.columns;
  const heads = weights.headCount * weights.headDim;
  const kv = weights.headCountKv * weights.headDim;
  const check = (what: string, matrix: { rows: number; columns: number }, rows: number, columns: number): void => {
    if (matrix.rows !== rows || matrix.columns !== columns) {
      throw new Error(`${what} is [${matrix.rows}, ${matrix.columns}], not [${rows}, ${columns}]`);
    }
  };
  check("head", weights.head, weights.embedding.rows, width);
  weights.layers.forEach((layer, i) => {
    const ffn = layer.gate.rows;
    check(`layer ${i} query`, layer.query, heads, width);
    check(`layer ${i} key`, layer.key, kv, width);
    check(`layer ${i} value`, layer.value, kv, width);
    check(`layer ${i} output`, layer.attentionOutput, width, heads);
    check(`layer ${i} gate`, layer.gate, ffn, width);
    check(`layer ${i} up`, layer.up, ffn, width);
    check(`layer ${i} down`, layer.down, width, ffn);
  });
  return weights;
}

/** Squared ReLU for `bitnet-b1.58` and `bitnet-25` (2B4T's names), SiLU for `bitnet` (1bitLLM's), or what is stated. */
function activationOf({ metadata }: GgufFile, architecture: string): Activation {
  const stated = metadata.get(`${architecture}.hidden_activation`) ?? (architecture === "bitnet" ? "silu" : "relu2");
  if (stated !== "relu2" && stated !== "silu") throw new Error(`activation ${String(stated)}`);
  return stated;
}

/** A GGUF file with I2_S projections. */
export function bitnetFromGguf(file: GgufFile): DecoderWeights {
  const { metadata, tensors } = file;
  const architecture = String(metadata.get("general.architecture"));
  const number = (key: string): number => {
    const value = metadata.get(`${architecture}.${key}`);
    if (typeof value !== "number") throw new Error(`the file lacks ${architecture}.${key}`);
    return value;
  };
  const dense = (name: string): DenseMatrix => decodeEmbedding(required(tensors, name));
  const vector = (name: string): Float64Array => dense(name).values;
  const ternary = (name: string): TernaryMatrix => decodeLinear(required(tensors, name));

  const headCount = number("attention.head_count");
  const embedding = dense("token_embd.weight");
  const headDim = metadata.has(`${architecture}.attention.key_length`)
    ? number("attention.key_length")
    : embedding.columns / headCount;
  if (number("rope.dimension_count") !== headDim) throw new Error("the reference rotates whole heads only");
  const layers = Array.from({ length: number("block_count") }, (_, i): LayerWeights => {
    const of = (role: string): string => `blk.${i}.${role}.weight`;
    return {
      attentionNorm: vector(of("attn_norm")),
      query: ternary(of("attn_q")),
      key: ternary(of("attn_k")),
      value: ternary(of("attn_v")),
      attentionSubNorm: vector(of("attn_sub_norm")),
      attentionOutput: ternary(of("attn_output")),
      ffnNorm: vector(of("ffn_norm")),
      gate: ternary(of("ffn_gate")),
      up: ternary(of("ffn_up")),
      ffnSubNorm: vector(of("ffn_sub_norm")),
      down: ternary(of("ffn_down")),
    };
  });
  return expectShapes({
    headCount,
    headCountKv: number("attention.head_count_kv"),
    headDim,
    ropeTheta: number("rope.freq_base"),
    epsilon: number("attention.layer_norm_rms_epsilon"),
    activation: activationOf(file, architecture),
    embedding,
    head: tensors.has("output.weight") ? dense("output.weight") : embedding,
    outputNorm: vector("output_norm.weight"),
    layers,
  });
}

/** The fields of config.json that matter here. */
interface FolderConfig {
  hidden_act: string;
  hidden_size: number;
  num_attention_heads: number;
  num_hidden_layers: number;
  num_key_value_heads: number;
  rms_norm_eps: number;
  rope_theta: number;
  tie_word_embeddings: boolean;
  quantization_config?: { linear_class: string; quantization_mode: string };
  /** 1bitLLM's folders have these in its place, and master weights. */
  weight_bits?: number;
  input_bits?: number;
}

/** A Hugging Face folder, packed ("offline": codes times weight_scale) or with master weights ("online"). */
export function bitnetFromFolder(folder: string): DecoderWeights {
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as FolderConfig;
  const old = config.weight_bits === 1 && config.input_bits === 8;
  const { linear_class: linearClass, quantization_mode: mode } = old
    ? { linear_class: "autobitlinear", quantization_mode: "online" }
    : config.quantization_config!;
  if (linearClass !== "autobitlinear") throw new Error(`the reference does not know linear class ${linearClass}`);
  if (config.hidden_act !== "relu2" && config.hidden_act !== "silu") throw new Error(`activation ${config.hidden_act}`);

  const tensors = readSafetensors(join(folder, "model.safetensors"));
  const dense = (name: string): DenseMatrix => decodeEmbedding(required(tensors, name));
  const vector = (name: string): Float64Array => dense(name).values;
  const ternary = (name: string): TernaryMatrix => {
    if (mode === "online") return quantiseMaster(dense(name));
    const [scale = NaN] = vector(`${name}_scale`);
    return decodePackedUint8(required(tensors, name), scale);
  };

  const embedding = dense("model.embed_tokens.weight");
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): LayerWeights => {
    const of = (role: string): string => `model.layers.${i}.${role}.weight`;
    return {
      attentionNorm: vector(of("input_layernorm")),
      query: ternary(of("self_attn.q_proj")),
      key: ternary(of("self_attn.k_proj")),
      value: ternary(of("self_attn.v_proj")),
      attentionSubNorm: vector(of(old ? "self_attn.inner_attn_ln" : "self_attn.attn_sub_norm")),
      attentionOutput: ternary(of("self_attn.o_proj")),
      ffnNorm: vector(of("post_attention_layernorm")),
      gate: ternary(of("mlp.gate_proj")),
      up: ternary(of("mlp.up_proj")),
      ffnSubNorm: vector(of(old ? "mlp.ffn_layernorm" : "mlp.ffn_sub_norm")),
      down: ternary(of("mlp.down_proj")),
    };
  });
  return expectShapes({
    headCount: config.num_attention_heads,
    headCountKv: config.num_key_value_heads,
    headDim: config.hidden_size / config.num_attention_heads,
    ropeTheta: config.rope_theta,
    epsilon: config.rms_norm_eps,
    activation: config.hidden_act,
    embedding,
    head: config.tie_word_embeddings ? embedding : dense("lm_head.weight"),
    outputNorm: vector("model.norm.weight"),
    layers,
  });
}
