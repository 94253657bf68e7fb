/** Qwen 2 and 3 (Yang et al. 2024, 2025) with ternary projections; the input norms of BitNet-embedding. */
import type { DecoderWeights, LayerWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { folderDecoder, ggufDecoder, type NamedTensors } from "./named";

function ggufLayer(tensors: NamedTensors, p: string): Partial<LayerWeights> {
  const layer: Partial<LayerWeights> = {};
  const set = (role: keyof LayerWeights, name: string): void => {
    if (tensors.has(p + name)) Object.assign(layer, { [role]: tensors.vector(p + name) });
  };
  set("queryBias", "attn_q.bias");
  set("keyBias", "attn_k.bias");
  set("valueBias", "attn_v.bias");
  set("queryNorm", "attn_q_norm.weight");
  set("keyNorm", "attn_k_norm.weight");
  return layer;
}

/** Names of the optional vectors of a layer in folders. */
const FOLDER_VECTORS = {
  queryBias: "self_attn.q_proj.bias",
  keyBias: "self_attn.k_proj.bias",
  valueBias: "self_attn.v_proj.bias",
  queryNorm: "self_attn.q_norm.weight",
  keyNorm: "self_attn.k_norm.weight",
  queryInputNorm: "self_attn.q_proj_norm_in.weight",
  keyInputNorm: "self_attn.k_proj_norm_in.weight",
  valueInputNorm: "self_attn.v_proj_norm_in.weight",
  attentionSubNorm: "self_attn.o_proj_norm_in.weight",
  gateInputNorm: "mlp.gate_proj_norm_in.weight",
  upInputNorm: "mlp.up_proj_norm_in.weight",
  ffnSubNorm: "mlp.down_proj_norm_in.weight",
} satisfies Partial<Record<keyof LayerWeights, string>>;

/** The vectors of a layer that are there. */
export function folderVectors(tensors: NamedTensors, p: string): Partial<LayerWeights> {
  const present = Object.entries(FOLDER_VECTORS).filter(([, name]) => tensors.has(p + name));
  return Object.fromEntries(present.map(([role, name]) => [role, tensors.vector(p + name)]));
}

/** Reads `qwen2` and `qwen3`. */
export function qwenFromGguf(file: GgufFile): DecoderWeights {
  return { ...ggufDecoder(file, ggufLayer), activation: "silu" };
}

/** Reads `qwen2` and `qwen3`. */
export function qwenFromFolder(folder: string): DecoderWeights {
  return { ...folderDecoder(folder, folderVectors), activation: "silu" };
}
