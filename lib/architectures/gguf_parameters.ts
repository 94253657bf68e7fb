import { closeSync, openSync, readSync } from "node:fs";
import type { ModelSpec, RopeSpec, TensorRef } from "../../types/addon";
import { FileError, ModelFormatError, UnsupportedModelError } from "../errors";
import { MetadataView, type GgufFile } from "../files/gguf";
import type { DecoderShape, TensorFinder } from "./decoder";
import { defaultAttentionFactor, YARN_BETAS, yarnRope, type Yarn } from "./yarn";

/** Keys of YaRN. */
const YARN_KEYS = [
  "rope.scaling.original_context_length",
  "rope.scaling.finetuned",
  "rope.scaling.attn_factor",
  "rope.scaling.yarn_ext_factor",
  "rope.scaling.yarn_attn_factor",
  "rope.scaling.yarn_beta_fast",
  "rope.scaling.yarn_beta_slow",
  "rope.scaling.yarn_log_multiplier",
];

/** Keys under the architecture's prefix that every decoder may have. Any other might change the computation. */
const COMMON_KEYS = [
  "vocab_size",
  "context_length",
  "embedding_length",
  "block_count",
  "feed_forward_length",
  "hidden_activation",
  "expert_count",
  "expert_used_count",
  "pooling_type",
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
  ...YARN_KEYS,
];

/** Larger than any model, small enough that products of two stay exact. */
const LIMITS = { vocabulary: 1 << 24, context: 1 << 24, width: 1 << 20, layers: 1024, heads: 4096 };

/** What a family of GGUF files leaves unsaid. */
export interface GgufFamily {
  /** Keys it reads besides the common ones. */
  keys?: readonly string[];
  /** Activation where `hidden_activation` is missing, and what it may say. */
  activation: ModelSpec["activation"];
  activations: readonly ModelSpec["activation"][];
}

/**
 * The hyper-parameters that all decoders share.
 * @throws ModelFormatError, UnsupportedModelError also for a key that is not known here
 */
export function readGgufShape(
  file: GgufFile,
  family: GgufFamily,
): DecoderShape & { view: MetadataView; prefix: string } {
  const view = new MetadataView(file);
  const architecture = view.string("general.architecture");
  const prefix = `${architecture}.`;
  refuseUnknownKeys(file, prefix, [...COMMON_KEYS, ...(family.keys ?? [])]);
  for (const key of ["expert_count", "expert_used_count"]) {
    const experts = view.optionalInteger(prefix + key) ?? 0;
    if (experts !== 0) throw view.error(prefix + key, `is ${experts}; mixtures of experts cannot be run.`);
  }
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
  return {
    view,
    prefix,
    architecture,
    vocabularySize: vocabulary(file, view, prefix),
    contextLength: integer("context_length", LIMITS.context),
    embeddingLength,
    layerCount,
    headCount,
    headCountKv,
    headDim,
    ffnLength,
    rmsNormEpsilon: view.number(`${prefix}attention.layer_norm_rms_epsilon`, { min: 1e-12, max: 1 }),
    activation: activation(file, view, prefix, family),
    rope: rope(view, prefix, headDim),
    head: "where-present",
  };
}

/** The values of a small f32 vector of the file, read at once: a few hundred bytes that the header does not hold. */
export function readSmallVector(find: TensorFinder, tensor: TensorRef): number[] {
  const path = find.files[tensor.file] ?? "";
  const bytes = Buffer.alloc(tensor.columns * 4);
  let read: number;
  try {
    const handle = openSync(path, "r");
    try {
      read = readSync(handle, bytes, 0, bytes.length, tensor.offset);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    throw new FileError(`Cannot read "${path}": ${String(error)}.`, { cause: error });
  }
  if (read !== bytes.length) throw new ModelFormatError(`"${path}" ended within tensor "${tensor.name}".`);
  return Array.from({ length: tensor.columns }, (_, i) => bytes.readFloatLE(4 * i));
}

function refuseUnknownKeys(file: GgufFile, prefix: string, known: readonly string[]): void {
  for (const key of file.metadata.keys()) {
    if (key.startsWith(prefix) && !known.includes(key.slice(prefix.length))) {
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

function activation(file: GgufFile, view: MetadataView, prefix: string, family: GgufFamily): ModelSpec["activation"] {
  const stated = view.optionalString(`${prefix}hidden_activation`) ?? family.activation;
  const found = family.activations.find((name) => name === stated);
  if (found !== undefined) return found;
  throw new UnsupportedModelError(
    `"${file.path}": metadata key "${prefix}hidden_activation" is ${JSON.stringify(stated)}; ${prefix.slice(0, -1)} models ` +
      `can have ${family.activations.map((name) => `"${name}"`).join(" or ")}.`,
  );
}

function rope(view: MetadataView, prefix: string, headDim: number): RopeSpec {
  const dimensionsKey = `${prefix}rope.dimension_count`;
  const dimensions = view.optionalInteger(dimensionsKey, { min: 2, max: headDim }) ?? headDim;
  if (dimensions % 2 !== 0) throw view.error(dimensionsKey, `is ${dimensions}; it must be even.`);
  const typeKey = `${prefix}rope.scaling.type`;
  const type = view.optionalString(typeKey) ?? "none";
  if (type !== "none" && type !== "linear" && type !== "yarn") {
    throw view.error(typeKey, `is ${JSON.stringify(type)}; only "none", "linear" and "yarn" can be run.`);
  }
  const factor = view.optionalNumber(`${prefix}rope.scaling.factor`, { min: 1e-3, max: 1e6 }) ?? 1;
  if (type === "none" && factor !== 1) {
    throw view.error(
      typeKey,
      `is "none" or missing, but a scaling factor of ${factor} is given. Which holds is unclear.`,
    );
  }
  // llama.cpp's default, which its converter leaves out.
  const theta = view.optionalNumber(`${prefix}rope.freq_base`, { min: 1, max: 1e12 }) ?? 10000;
  if (type === "yarn") return yarnRope(theta, dimensions, readYarn(view, `${prefix}rope.scaling.`, factor));
  return { theta, dimensions, positionScale: type === "linear" ? 1 / factor : 1 };
}

function readYarn(view: MetadataView, prefix: string, factor: number): Yarn {
  for (const [key, only] of [
    ["yarn_ext_factor", 1],
    ["yarn_log_multiplier", 0],
  ] as const) {
    const value = view.optionalNumber(prefix + key);
    if (value !== undefined && value !== only) throw view.error(prefix + key, `is ${value}; only ${only} can be run.`);
  }
  // Both multiply the temperature that follows from the factor, as llama.cpp takes them.
  let attention = defaultAttentionFactor(factor);
  for (const key of ["attn_factor", "yarn_attn_factor"]) {
    attention *= view.optionalNumber(prefix + key, { min: 1e-3, max: 1e3 }) ?? 1;
  }
  return {
    factor,
    originalContext: view.integer(`${prefix}original_context_length`, { min: 1, max: LIMITS.context }),
    betaFast: view.optionalNumber(`${prefix}yarn_beta_fast`, { min: 1e-3, max: 1e6 }) ?? YARN_BETAS.betaFast,
    betaSlow: view.optionalNumber(`${prefix}yarn_beta_slow`, { min: 1e-3, max: 1e6 }) ?? YARN_BETAS.betaSlow,
    ...(attention === defaultAttentionFactor(factor) ? {} : { attentionFactor: attention }),
  };
}
