/** What the readers of the families share: tensors by name, decoded. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DecoderWeights, LayerWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { readSafetensors } from "./safetensors";
import { decodeEmbedding, decodeLinear } from "./blocks";
import { decodeDense, decodePackedUint8, quantiseMaster, readTernaryFloats } from "./weights";
import type { DenseMatrix, StoredTensor, TernaryMatrix } from "./weights";

/** Tensors by name. */
export interface NamedTensors {
  has(name: string): boolean;
  dense(name: string): DenseMatrix;
  vector(name: string): Float64Array;
  ternary(name: string): TernaryMatrix;
}

function named(tensors: Map<string, StoredTensor>, ternary: (tensor: StoredTensor) => TernaryMatrix): NamedTensors {
  const get = (name: string): StoredTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`the model lacks ${name}`);
    return tensor;
  };
  return {
    has: (name) => tensors.has(name),
    dense: (name) => decodeEmbedding(get(name)),
    vector: (name) => decodeDense(get(name)).values,
    ternary: (name) => ternary(get(name)),
  };
}

/** The tensors of a GGUF file. */
export function ggufTensors(file: GgufFile): NamedTensors {
  return named(file.tensors, decodeLinear);
}

/** config.json and tensors of a folder, whose linear weights are floats or packed bytes. */
export function folderTensors(folder: string): { config: Record<string, unknown>; tensors: NamedTensors } {
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Record<string, unknown>;
  const storage = config.quantization_config as Record<string, unknown> | undefined;
  // transformers' default of linear_class is "bitlinear".
  const divides = storage !== undefined && (storage.linear_class ?? "bitlinear") === "bitlinear";
  const stated = storage !== undefined || config.weight_bits !== undefined;
  const stored = readSafetensors(join(folder, "model.safetensors"));
  const tensors = named(stored, (tensor) => {
    if (tensor.format !== "U8") {
      // Nothing says how the weights are to become ternary: they are, or they have BitNet's norms in front.
      const bitLinear = stated || stored.has(tensor.name.replace(/weight$/, "norm.weight"));
      return bitLinear ? quantiseMaster(decodeDense(tensor)) : readTernaryFloats(decodeDense(tensor));
    }
    const scale = decodeDense(stored.get(`${tensor.name}_scale`)!).values[0]!;
    return decodePackedUint8(tensor, divides ? 1 / scale : scale);
  });
  return { config, tensors };
}

/** The part of a decoder that is the same in all families, from a GGUF file. */
export function ggufDecoder(
  file: GgufFile,
  layerOf: (tensors: NamedTensors, prefix: string, layer: number) => Partial<LayerWeights>,
): Omit<DecoderWeights, "activation"> & { tensors: NamedTensors } {
  const tensors = ggufTensors(file);
  const architecture = String(file.metadata.get("general.architecture"));
  const number = (key: string): number => Number(file.metadata.get(`${architecture}.${key}`));
  const embedding = tensors.dense("token_embd.weight");
  const layers = Array.from({ length: number("block_count") }, (_, i): LayerWeights => {
    const p = `blk.${i}.`;
    return {
      attentionNorm: tensors.vector(`${p}attn_norm.weight`),
      query: tensors.ternary(`${p}attn_q.weight`),
      key: tensors.ternary(`${p}attn_k.weight`),
      value: tensors.ternary(`${p}attn_v.weight`),
      attentionOutput: tensors.ternary(`${p}attn_output.weight`),
      ffnNorm: tensors.vector(`${p}ffn_norm.weight`),
      gate: tensors.ternary(`${p}ffn_gate.weight`),
      up: tensors.ternary(`${p}ffn_up.weight`),
      down: tensors.ternary(`${p}ffn_down.weight`),
      ...layerOf(tensors, p, i),
    };
  });
  return {
    tensors,
    headCount: number("attention.head_count"),
    headCountKv: number("attention.head_count_kv"),
    headDim: number("attention.key_length"),
    ropeTheta: number("rope.freq_base"),
    epsilon: number("attention.layer_norm_rms_epsilon"),
    embedding,
    head: tensors.has("output.weight") ? tensors.dense("output.weight") : embedding,
    outputNorm: tensors.vector("output_norm.weight"),
    layers,
  };
}

/** The same from a folder. `norm` reads a norm's weights. */
export function folderDecoder(
  folder: string,
  layerOf: (tensors: NamedTensors, prefix: string, layer: number) => Partial<LayerWeights>,
  norm: (weights: Float64Array) => Float64Array = (weights) => weights,
): Omit<DecoderWeights, "activation"> & { tensors: NamedTensors; config: Record<string, unknown> } {
  const { config, tensors } = folderTensors(folder);
  const number = (key: string): number => Number(config[key]);
  const embedding = tensors.dense("model.embed_tokens.weight");
  const layers = Array.from({ length: number("num_hidden_layers") }, (_, i): LayerWeights => {
    const p = `model.layers.${i}.`;
    return {
      attentionNorm: norm(tensors.vector(`${p}input_layernorm.weight`)),
      query: tensors.ternary(`${p}self_attn.q_proj.weight`),
      key: tensors.ternary(`${p}self_attn.k_proj.weight`),
      value: tensors.ternary(`${p}self_attn.v_proj.weight`),
      attentionOutput: tensors.ternary(`${p}self_attn.o_proj.weight`),
      ffnNorm: norm(tensors.vector(`${p}post_attention_layernorm.weight`)),
      gate: tensors.ternary(`${p}mlp.gate_proj.weight`),
      up: tensors.ternary(`${p}mlp.up_proj.weight`),
      down: tensors.ternary(`${p}mlp.down_proj.weight`),
      ...layerOf(tensors, p, i),
    };
  });
  return {
    config,
    tensors,
    headCount: number("num_attention_heads"),
    headCountKv: number("num_key_value_heads"),
    headDim: number("head_dim"),
    ropeTheta: number("rope_theta"),
    epsilon: number("rms_norm_eps"),
    embedding,
    head: tensors.has("lm_head.weight") ? tensors.dense("lm_head.weight") : embedding,
    outputNorm: norm(tensors.vector("model.norm.weight")),
    layers,
  };
}
