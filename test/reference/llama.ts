/** Llama (Touvron et al. 2023) with ternary projections, and the frequency scaling of Llama 3.1. */
import type { DecoderWeights } from "./decoder";
import type { GgufFile } from "./gguf";
import { folderDecoder, ggufDecoder } from "./named";

/** A GGUF file: q and k are used as stored, with RoPE on neighbours, which is what their order is made for. */
export function llamaFromGguf(file: GgufFile): DecoderWeights {
  const decoder = ggufDecoder(file, () => ({}));
  const { tensors } = decoder;
  const ropeFactors = tensors.has("rope_freqs.weight") ? [...tensors.vector("rope_freqs.weight")] : [];
  return { ...decoder, activation: "silu", ropeNeighbours: true, ropeFactors };
}

/** A Hugging Face folder: RoPE on halves. */
export function llamaFromFolder(folder: string): DecoderWeights {
  const decoder = folderDecoder(folder, () => ({}));
  const scaling = decoder.config.rope_scaling as Record<string, number> | null | undefined;
  const ropeFactors = scaling ? llama3(scaling, decoder.headDim, decoder.ropeTheta) : [];
  return { ...decoder, activation: "silu", ropeFactors };
}

/** The new frequencies as Meta's code has them, turned into divisors. */
function llama3(scaling: Record<string, number>, headDim: number, theta: number): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: old } = scaling;
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = 1 / theta ** ((2 * i) / headDim);
    const wave = (2 * Math.PI) / frequency;
    let scaled = frequency;
    if (wave > old! / low!) scaled = frequency / factor!;
    else if (wave >= old! / high!) {
      const smooth = (old! / wave - low!) / (high! - low!);
      scaled = ((1 - smooth) * frequency) / factor! + smooth * frequency;
    }
    return frequency / scaled;
  });
}
