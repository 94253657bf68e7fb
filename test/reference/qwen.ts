/** Qwen 2 and 3 (Yang et al. 2024, 2025) with ternary projections; the input norms of BitNet-embedding. */
import type { DecoderWeights, LayerWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { folderDecoder, ggufDecoder, type NamedTensors } from "./named";

/** The vectors of a layer that are there. */
export function ggufVectors(tensors: NamedTensors, p: string): Partial<LayerWeights> {
  const layer: Partial<LayerWeights> = {};
  const set = (role: keyof LayerWeights, name: string): void => {
    if (tensors.has(p + name)) Object.assign(layer, { [role]: tensors.vector(p + name) });
  };
  set("queryBias", "attn_q.bias");
  set("keyBias", "attn_k.bias");
  set("valueBias", "attn_v.bias");
  set("queryNorm", "attn_q_norm.weight");
  set("keyNorm", "attn_k_norm.weight");
  // bitnet.cpp's names of BitNet-embedding's norms.
  set("queryInputNorm", "attn_q_norm_in.weight");
  set("keyInputNorm", "attn_k_norm_in.weight");
  set("valueInputNorm", "attn_v_norm_in.weight");
  set("attentionSubNorm", "attn_output_norm_in.weight");
  set("gateInputNorm", "ffn_gate_norm_in.weight");
  set("upInputNorm", "ffn_up_norm_in.weight");
  set("ffnSubNorm", "ffn_down_norm_in.weight");
  return layer;
}

/** Names of the optional vectors of a layer in folders. */
const FOLDER_VECTORS = {
  queryBias: "self_attn.q_proj.bias",
  keyBias: "self_attn.k_proj.bias",
  valueBias: "self_attn.v_proj.bias",
  queryNorm: "self_attn.q_norm.weight",
  keyNorm: "self_attn.k_norm.weight",
  queryInputNorm: "self_attn.q_proj.norm.weight",
  keyInputNorm: "self_attn.k_proj.norm.weight",
  valueInputNorm: "self_attn.v_proj.norm.weight",
  attentionSubNorm: "self_attn.o_proj.norm.weight",
  gateInputNorm: "mlp.gate_proj.norm.weight",
  upInputNorm: "mlp.up_proj.norm.weight",
  ffnSubNorm: "mlp.down_proj.norm.weight",
} satisfies Partial<Record<keyof LayerWeights, string>>;

/** The vectors of a layer that are there. */
export function folderVectors(tensors: NamedTensors, p: string): Partial<LayerWeights> {
  const present = Object.entries(FOLDER_VECTORS).filter(([, name]) => tensors.has(p + name));
  return Object.fromEntries(present.map(([role, name]) => [role, tensors.vector(p + name)]));
}

/** Reads `qwen2` and `qwen3`. */
export function qwenFromGguf(file: GgufFile): DecoderWeights {
  const decoder = ggufDecoder(file, ggufVectors);
  const key = (name: string): unknown =>
    file.metadata.get(`${String(file.metadata.get("general.architecture"))}.${name}`);
  if (key("rope.scaling.type") !== "yarn") return { ...decoder, activation: "silu" };
  const yarn = { factor: Number(key("rope.scaling.factor")), old: Number(key("rope.scaling.original_context_length")) };
  return { ...decoder, ...yarnOf(decoder, yarn), activation: "silu" };
}

/** Reads `qwen2` and `qwen3`. */
export function qwenFromFolder(folder: string): DecoderWeights {
  const decoder = folderDecoder(folder, folderVectors);
  const scaling = decoder.config.rope_scaling as Record<string, unknown> | null | undefined;
  if (scaling?.rope_type !== "yarn") return { ...decoder, activation: "silu" };
  const yarn = { factor: Number(scaling.factor), old: Number(scaling.original_max_position_embeddings) };
  return { ...decoder, ...yarnOf(decoder, yarn), activation: "silu" };
}

/**
 * YaRN (Peng et al. 2023), section 3.2 and 3.4 with alpha = 1, beta = 32, counted in dimensions as the published code does:
 * a pair below `fast` keeps its frequency, one above `slow` has it divided, in between they blend. The temperature goes on
 * cosines and sines, so that scores are multiplied by its square.
 */
function yarnOf(
  { headDim, ropeTheta }: Pick<DecoderWeights, "headDim" | "ropeTheta">,
  { factor, old }: { factor: number; old: number },
): Pick<DecoderWeights, "ropeFactors" | "ropeMagnitude"> {
  const pair = (turns: number): number => (headDim / 2) * (Math.log(old / (2 * Math.PI * turns)) / Math.log(ropeTheta));
  const fast = Math.max(0, Math.floor(pair(32)));
  const slow = Math.min(headDim - 1, Math.ceil(pair(1)));
  const ropeFactors = Array.from({ length: headDim / 2 }, (_, i) => {
    if (i <= fast) return 1;
    if (i >= slow) return factor;
    const divided = (i - fast) / (slow - fast);
    return 1 / (divided * (1 / factor) + (1 - divided) * 1);
  });
  return { ropeFactors, ropeMagnitude: 1 + Math.log(factor) / 10 };
}
