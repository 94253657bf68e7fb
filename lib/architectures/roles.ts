import type { LayerSpec } from "../../types/addon";

/** A tensor's part in the decoder block, by its name in `LayerSpec`. */
export type LayerRole = Exclude<keyof LayerSpec, "local">;

/** A tensor's part outside of the blocks. */
export type ModelRole = "tokenEmbedding" | "outputNorm" | "output" | "ropeFactors";

/** Any role. */
export type Role = LayerRole | ModelRole;

/** Names of a role's tensor, without the block's prefix. The first is the one that is written. */
export interface RoleNames {
  gguf: string;
  /** In GGUF files whose projections have norms on their inputs: bitnet.cpp's name for the same tensor. */
  ggufNormIn?: string;
  /** Spellings in Hugging Face folders; one of them must be there. */
  hf: readonly string[];
}

/** Names of the tensors of a block: after "blk.<i>." in GGUF, after "model.layers.<i>." in Hugging Face folders. */
export const LAYER_ROLES: Readonly<Record<LayerRole, RoleNames>> = {
  attnNorm: { gguf: "attn_norm.weight", hf: ["input_layernorm.weight"] },
  q: { gguf: "attn_q.weight", hf: ["self_attn.q_proj.weight"] },
  k: { gguf: "attn_k.weight", hf: ["self_attn.k_proj.weight"] },
  v: { gguf: "attn_v.weight", hf: ["self_attn.v_proj.weight"] },
  qBias: { gguf: "attn_q.bias", hf: ["self_attn.q_proj.bias"] },
  kBias: { gguf: "attn_k.bias", hf: ["self_attn.k_proj.bias"] },
  vBias: { gguf: "attn_v.bias", hf: ["self_attn.v_proj.bias"] },
  qInputNorm: { gguf: "attn_q_norm_in.weight", hf: inputNorm("self_attn", "q") },
  kInputNorm: { gguf: "attn_k_norm_in.weight", hf: inputNorm("self_attn", "k") },
  vInputNorm: { gguf: "attn_v_norm_in.weight", hf: inputNorm("self_attn", "v") },
  qNorm: { gguf: "attn_q_norm.weight", hf: ["self_attn.q_norm.weight"] },
  kNorm: { gguf: "attn_k_norm.weight", hf: ["self_attn.k_norm.weight"] },
  // 1bitLLM's models call the sub-norms inner_attn_ln and ffn_layernorm.
  attnSubNorm: {
    gguf: "attn_sub_norm.weight",
    ggufNormIn: "attn_output_norm_in.weight",
    hf: ["self_attn.attn_sub_norm.weight", "self_attn.inner_attn_ln.weight", ...inputNorm("self_attn", "o")],
  },
  attnOutput: { gguf: "attn_output.weight", hf: ["self_attn.o_proj.weight"] },
  attnPostNorm: { gguf: "post_attention_norm.weight", hf: ["post_attention_layernorm.weight"] },
  // With a norm behind the attention (gemma3) Hugging Face's "post_attention_layernorm" is that one.
  ffnNorm: { gguf: "ffn_norm.weight", hf: ["pre_feedforward_layernorm.weight", "post_attention_layernorm.weight"] },
  gateInputNorm: { gguf: "ffn_gate_norm_in.weight", hf: inputNorm("mlp", "gate") },
  upInputNorm: { gguf: "ffn_up_norm_in.weight", hf: inputNorm("mlp", "up") },
  gate: { gguf: "ffn_gate.weight", hf: ["mlp.gate_proj.weight"] },
  up: { gguf: "ffn_up.weight", hf: ["mlp.up_proj.weight"] },
  ffnSubNorm: {
    gguf: "ffn_sub_norm.weight",
    ggufNormIn: "ffn_down_norm_in.weight",
    hf: ["mlp.ffn_sub_norm.weight", "mlp.ffn_layernorm.weight", ...inputNorm("mlp", "down")],
  },
  down: { gguf: "ffn_down.weight", hf: ["mlp.down_proj.weight"] },
  ffnPostNorm: { gguf: "post_ffw_norm.weight", hf: ["post_feedforward_layernorm.weight"] },
};

/** Full names of the tensors outside of the blocks. */
const MODEL_ROLES: Readonly<Record<ModelRole, RoleNames>> = {
  tokenEmbedding: { gguf: "token_embd.weight", hf: ["model.embed_tokens.weight", "embed_tokens.weight"] },
  outputNorm: { gguf: "output_norm.weight", hf: ["model.norm.weight", "norm.weight"] },
  output: { gguf: "output.weight", hf: ["lm_head.weight"] },
  ropeFactors: { gguf: "rope_freqs.weight", hf: [] },
};

/** Full names of a role's tensor in GGUF files, the usual one first. */
export function ggufNames(role: Role, layer: number): [string, ...string[]] {
  if (!(role in LAYER_ROLES)) return [MODEL_ROLES[role as ModelRole].gguf];
  const { gguf, ggufNormIn } = LAYER_ROLES[role as LayerRole];
  return [`blk.${layer}.${gguf}`, ...(ggufNormIn === undefined ? [] : [`blk.${layer}.${ggufNormIn}`])];
}

/** The name to write a role's tensor under. @param normIn whether the model's projections have norms on their inputs */
export function ggufName(role: Role, layer: number, normIn = false): string {
  const names = ggufNames(role, layer);
  return (normIn ? names[1] : undefined) ?? names[0];
}

/** Full names of a role's tensor in Hugging Face folders; base models leave out the leading "model.". */
export function hfNames(role: Role, layer: number): string[] {
  if (!(role in LAYER_ROLES)) return [...MODEL_ROLES[role as ModelRole].hf];
  const { hf } = LAYER_ROLES[role as LayerRole];
  return [...hf.map((name) => `model.layers.${layer}.${name}`), ...hf.map((name) => `layers.${layer}.${name}`)];
}

function inputNorm(block: string, projection: string): string[] {
  // BitNet-embedding's folders have the norm inside of the projection.
  const base = `${block}.${projection}_proj`;
  return [`${base}.norm.weight`, `${base}_norm_in.weight`];
}
