import type { LayerSpec, ModelSpec, RopeSpec } from "../../types/addon";
import { UnsupportedModelError } from "../errors";
import { MetadataView, type GgufFile } from "../files/gguf";
import type { Architecture } from "./architecture";
import { TensorTaker } from "./tensors";

/**
 * BitNet b1.58 (https://arxiv.org/abs/2402.17764, https://arxiv.org/abs/2504.12285): pre-norm decoder, half-split RoPE,
 * grouped-query attention, an RMSNorm before the output projection and another before the down projection, gated FFN.
 *
 * The activation is squared ReLU in `bitnet-b1.58` and `bitnet-25` files (Microsoft's 2B4T) and SiLU in `bitnet` files
 * (1bitLLM's models). Nothing in those files says so; files written by this package state it in
 * `<architecture>.hidden_activation`, which overrides the rule.
 */
export const bitnet: Architecture = {
  names: ["bitnet-b1.58", "bitnet-25", "bitnet"],
  describe,
};

const DEFAULT_ACTIVATION: Readonly<Record<string, "relu2" | "silu">> = {
  "bitnet-b1.58": "relu2",
  "bitnet-25": "relu2",
  bitnet: "silu",
};

/** Keys under the architecture's prefix that are read. Any other might change the computation, and is refused. */
const KNOWN_KEYS = new Set([
  "vocab_size",
  "context_length",
  "embedding_length",
  "block_count",
  "feed_forward_length",
  "hidden_activation",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "attention.layer_norm_rms_epsilon",
  "attention.causal",
  "rope.dimension_count",
  "rope.freq_base",
  "rope.scaling.type",
  "rope.scaling.factor",
]);

/** Larger than any model, small enough that products of two stay exact. */
const LIMITS = { vocabulary: 1 << 24, context: 1 << 24, width: 1 << 20, layers: 1024, heads: 4096 };

function describe(file: GgufFile): ModelSpec {
  const view = new MetadataView(file);
  const architecture = view.string("general.architecture");
  const prefix = `${architecture}.`;
  refuseUnknownKeys(file, prefix);
  const integer = (key: string, max: number): number => view.integer(prefix + key, { min: 1, max });

  const embeddingLength = integer("embedding_length", LIMITS.width);
  const layerCount = integer("block_count", LIMITS.layers);
  const ffnLength = integer("feed_forward_length", LIMITS.width);
  const headCount = integer("attention.head_count", LIMITS.heads);
  const headCountKv = view.optionalInteger(`${prefix}attention.head_count_kv`, { min: 1, max: headCount }) ?? headCount;
  if (headCount % headCountKv !== 0) {
    throw view.error(
      `${prefix}attention.head_count_kv`,
      `is ${headCountKv}, which does not divide ${headCount} heads.`,
    );
  }
  const headDim = headDimension(view, prefix, embeddingLength, headCount);
  const vocabularySize = vocabulary(file, view, prefix);

  const take = new TensorTaker(file);
  const layers: LayerSpec[] = [];
  for (let i = 0; i < layerCount; i++) {
    const blk = `blk.${i}.`;
    const queries = headCount * headDim;
    const keys = headCountKv * headDim;
    layers.push({
      attnNorm: take.norm(`${blk}attn_norm.weight`, embeddingLength),
      q: take.ternary(`${blk}attn_q.weight`, queries, embeddingLength),
      k: take.ternary(`${blk}attn_k.weight`, keys, embeddingLength),
      v: take.ternary(`${blk}attn_v.weight`, keys, embeddingLength),
      attnSubNorm: take.norm(`${blk}attn_sub_norm.weight`, queries),
      attnOutput: take.ternary(`${blk}attn_output.weight`, embeddingLength, queries),
      ffnNorm: take.norm(`${blk}ffn_norm.weight`, embeddingLength),
      gate: take.ternary(`${blk}ffn_gate.weight`, ffnLength, embeddingLength),
      up: take.ternary(`${blk}ffn_up.weight`, ffnLength, embeddingLength),
      ffnSubNorm: take.norm(`${blk}ffn_sub_norm.weight`, ffnLength),
      down: take.ternary(`${blk}ffn_down.weight`, embeddingLength, ffnLength),
    });
  }
  const spec: ModelSpec = {
    files: [file.path],
    architecture,
    vocabularySize,
    contextLength: integer("context_length", LIMITS.context),
    embeddingLength,
    layerCount,
    headCount,
    headCountKv,
    headDim,
    ffnLength,
    rmsNormEpsilon: view.number(`${prefix}attention.layer_norm_rms_epsilon`, { min: 1e-12, max: 1 }),
    activation: activation(file, view, prefix, architecture),
    rope: rope(view, prefix, headDim),
    embeddingScale: 1,
    tokenEmbedding: take.dense("token_embd.weight", vocabularySize, embeddingLength),
    outputNorm: take.norm("output_norm.weight", embeddingLength),
    // Without a head of its own the model scores tokens with its embedding.
    ...(take.has("output.weight") ? { output: take.dense("output.weight", vocabularySize, embeddingLength) } : {}),
    layers,
  };
  take.finish();
  return spec;
}

function refuseUnknownKeys(file: GgufFile, prefix: string): void {
  for (const key of file.metadata.keys()) {
    if (key.startsWith(prefix) && !KNOWN_KEYS.has(key.slice(prefix.length))) {
      throw new UnsupportedModelError(
        `"${file.path}": metadata key ${JSON.stringify(key)} is unknown here and may change the model's results. Use a ` +
          `file without it, or a version of this package that knows it.`,
      );
    }
  }
}

function headDimension(view: MetadataView, prefix: string, embeddingLength: number, headCount: number): number {
  const key = `${prefix}attention.key_length`;
  const stated = view.optionalInteger(key, { min: 2, max: 1024 });
  if (stated === undefined && embeddingLength % headCount !== 0) {
    throw view.error(
      `${prefix}attention.head_count`,
      `is ${headCount}, which does not divide the embedding length ${embeddingLength}.`,
    );
  }
  const headDim = stated ?? embeddingLength / headCount;
  const value = view.optionalInteger(`${prefix}attention.value_length`);
  if (value !== undefined && value !== headDim) {
    throw view.error(`${prefix}attention.value_length`, `is ${value}, but keys have ${headDim}; they must be equal.`);
  }
  if (headDim % 2 !== 0) {
    throw view.error(`${prefix}attention.head_count`, `gives heads of ${headDim}; RoPE needs an even number.`);
  }
  if (view.optionalBoolean(`${prefix}attention.causal`) === false) {
    throw view.error(`${prefix}attention.causal`, "is false; only causal decoders can be run.");
  }
  return headDim;
}

function vocabulary(file: GgufFile, view: MetadataView, prefix: string): number {
  const key = `${prefix}vocab_size`;
  const embedding = file.tensorsByName.get("token_embd.weight");
  const size = view.optionalInteger(key, { min: 1, max: LIMITS.vocabulary }) ?? embedding?.dims[1] ?? 0;
  const tokens = view.optionalStrings("tokenizer.ggml.tokens");
  if (tokens !== undefined && tokens.length !== size) {
    throw view.error(
      "tokenizer.ggml.tokens",
      `has ${tokens.length} tokens, but the model's vocabulary has ${size}. The file is damaged or converted wrongly.`,
    );
  }
  return size;
}

function activation(file: GgufFile, view: MetadataView, prefix: string, architecture: string): "relu2" | "silu" {
  const stated = view.optionalString(`${prefix}hidden_activation`) ?? DEFAULT_ACTIVATION[architecture];
  if (stated === "relu2" || stated === "silu") return stated;
  throw new UnsupportedModelError(
    `"${file.path}": metadata key "${prefix}hidden_activation" is ${JSON.stringify(stated)}; bitnet models can have "relu2" ` +
      `or "silu".`,
  );
}

function rope(view: MetadataView, prefix: string, headDim: number): RopeSpec {
  const dimensionsKey = `${prefix}rope.dimension_count`;
  const dimensions = view.optionalInteger(dimensionsKey, { min: 2, max: headDim }) ?? headDim;
  if (dimensions % 2 !== 0) throw view.error(dimensionsKey, `is ${dimensions}; it must be even.`);
  const typeKey = `${prefix}rope.scaling.type`;
  const type = view.optionalString(typeKey) ?? "none";
  if (type !== "none" && type !== "linear") {
    throw view.error(typeKey, `is ${JSON.stringify(type)}; only "none" and "linear" can be run.`);
  }
  const factor = view.optionalNumber(`${prefix}rope.scaling.factor`, { min: 1e-3, max: 1e6 }) ?? 1;
  if (type === "none" && factor !== 1) {
    throw view.error(
      typeKey,
      `is "none" or missing, but a scaling factor of ${factor} is given. Which holds is unclear.`,
    );
  }
  return {
    // llama.cpp's default, which its converter leaves out.
    theta: view.optionalNumber(`${prefix}rope.freq_base`, { min: 1, max: 1e12 }) ?? 10000,
    dimensions,
    positionScale: type === "linear" ? 1 / factor : 1,
  };
}
