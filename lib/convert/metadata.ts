import type { ModelSpec } from "../../types/addon";
import { defaultAttentionFactor, YARN_BETAS } from "../architectures";
import { UnsupportedModelError } from "../errors";
import type { GgufValue } from "../files/gguf";

/** GGUF readers take every sixth layer of gemma3 as global. */
const GEMMA_PATTERN = 6;

/** The hyper-parameters of a model under its architecture's prefix, as GGUF files name them. */
export function hyperParameters(architecture: string, spec: ModelSpec): [string, GgufValue][] {
  const entries: [string, GgufValue][] = [];
  if (spec.layers.some(({ local = false }, i) => spec.slidingWindow !== undefined && local !== isLocal(i))) {
    throw new UnsupportedModelError(
      `The model's local layers do not follow the pattern that GGUF files of ${architecture} have (every ` +
        `${GEMMA_PATTERN}th layer global). Load the folder as it is.`,
    );
  }
  const count = (key: string, value: number): unknown =>
    entries.push([`${architecture}.${key}`, { type: "uint32", value }]);
  const real = (key: string, value: number): unknown =>
    entries.push([`${architecture}.${key}`, { type: "float32", value }]);
  const text = (key: string, value: string): unknown =>
    entries.push([`${architecture}.${key}`, { type: "string", value }]);
  count("vocab_size", spec.vocabularySize);
  count("context_length", spec.contextLength);
  count("embedding_length", spec.embeddingLength);
  count("block_count", spec.layerCount);
  count("feed_forward_length", spec.ffnLength);
  // Readers differ in what they assume of bitnet files.
  if (architecture.startsWith("bitnet")) text("hidden_activation", spec.activation);
  count("attention.head_count", spec.headCount);
  count("attention.head_count_kv", spec.headCountKv);
  count("attention.key_length", spec.headDim);
  count("attention.value_length", spec.headDim);
  real("attention.layer_norm_rms_epsilon", spec.rmsNormEpsilon);
  if (spec.slidingWindow !== undefined) count("attention.sliding_window", spec.slidingWindow);
  count("rope.dimension_count", spec.rope.dimensions);
  real("rope.freq_base", spec.rope.theta);
  if (spec.localRope) real("rope.freq_base_swa", spec.localRope.theta);
  const { yarn } = spec.rope;
  if (yarn) {
    text("rope.scaling.type", "yarn");
    real("rope.scaling.factor", yarn.factor);
    count("rope.scaling.original_context_length", yarn.originalContext);
    if (yarn.betaFast !== YARN_BETAS.betaFast) real("rope.scaling.yarn_beta_fast", yarn.betaFast);
    if (yarn.betaSlow !== YARN_BETAS.betaSlow) real("rope.scaling.yarn_beta_slow", yarn.betaSlow);
    // Readers multiply it with the paper's.
    const { attentionFactor } = yarn;
    if (attentionFactor !== undefined) {
      real("rope.scaling.attn_factor", attentionFactor / defaultAttentionFactor(yarn.factor));
    }
  }
  if (spec.rope.positionScale !== 1) {
    text("rope.scaling.type", "linear");
    real("rope.scaling.factor", 1 / spec.rope.positionScale);
  }
  return entries;
}

function isLocal(layer: number): boolean {
  return layer % GEMMA_PATTERN !== GEMMA_PATTERN - 1;
}
