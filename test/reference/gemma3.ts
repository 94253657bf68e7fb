/** Gemma 3's text decoder (Gemma Team 2025) with ternary projections. */
import type { DecoderWeights, LayerWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { folderDecoder, ggufDecoder } from "./named";
import { folderVectors, ggufVectors } from "./qwen";

/** Five local layers, then a global one; local layers turn with base 10000. */
function locality(layer: number, window: number): Partial<LayerWeights> {
  return (layer + 1) % 6 === 0 ? {} : { window, ropeTheta: 10000 };
}

/** Norm weights are stored as they are used. */
export function gemma3FromGguf(file: GgufFile): DecoderWeights {
  const window = Number(file.metadata.get("gemma3.attention.sliding_window"));
  const decoder = ggufDecoder(file, (tensors, p, i) => ({
    ...ggufVectors(tensors, p),
    attentionPostNorm: tensors.vector(`${p}post_attention_norm.weight`),
    ffnPostNorm: tensors.vector(`${p}post_ffw_norm.weight`),
    ...locality(i, window),
  }));
  return { ...decoder, activation: "gelu", embeddingScale: Math.sqrt(decoder.embedding.columns) };
}

/** Norms multiply by 1 + what is stored, but for those on projections' inputs. */
export function gemma3FromFolder(folder: string): DecoderWeights {
  const plusOne = (weights: Float64Array): Float64Array => weights.map((weight) => 1 + weight);
  let window = 0;
  const decoder = folderDecoder(
    folder,
    (tensors, p) => ({
      ...folderVectors(tensors, p),
      queryNorm: plusOne(tensors.vector(`${p}self_attn.q_norm.weight`)),
      keyNorm: plusOne(tensors.vector(`${p}self_attn.k_norm.weight`)),
      attentionPostNorm: plusOne(tensors.vector(`${p}post_attention_layernorm.weight`)),
      ffnNorm: plusOne(tensors.vector(`${p}pre_feedforward_layernorm.weight`)),
      ffnPostNorm: plusOne(tensors.vector(`${p}post_feedforward_layernorm.weight`)),
    }),
    plusOne,
  );
  window = Number(decoder.config.sliding_window);
  const layers = decoder.layers.map((layer, i) => ({ ...layer, ...locality(i, window) }));
  return { ...decoder, layers, activation: "gelu", embeddingScale: Math.sqrt(decoder.embedding.columns) };
}
