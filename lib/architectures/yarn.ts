import type { RopeSpec } from "../../types/addon";

/** Parameters of YaRN (https://arxiv.org/abs/2309.00071), which stretches RoPE over a longer context. */
export interface Yarn {
  /** How many times the context was made longer. */
  factor: number;
  /** Positions that the model was first trained for. */
  originalContext: number;
  /** Turns within the original context above which a frequency is kept. */
  betaFast: number;
  /** Turns below which it is divided by `factor`. */
  betaSlow: number;
  /** Multiplies cosines and sines; absent: 0.1 ln(factor) + 1, the paper's temperature. */
  attentionFactor?: number;
}

/** The paper's bounds for Llama models, which all files leave out. */
export const YARN_BETAS = { betaFast: 32, betaSlow: 1 } as const;

/** RoPE with YaRN: which frequency is divided by what, and by how much attention is sharpened. */
export function yarnRope(theta: number, dimensions: number, yarn: Yarn): RopeSpec {
  const { factor, originalContext, betaFast, betaSlow } = yarn;
  // The dimension whose wave turns so many times within the original context.
  const dimensionOf = (turns: number): number =>
    (dimensions * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(dimensionOf(betaFast)), 0);
  const high = Math.min(Math.ceil(dimensionOf(betaSlow)), dimensions - 1);
  const factors = Array.from({ length: dimensions / 2 }, (_, i) => {
    const stretched = Math.min(Math.max((i - low) / Math.max(high - low, 0.001), 0), 1);
    return 1 / (stretched / factor + (1 - stretched));
  });
  const magnitude = yarn.attentionFactor ?? defaultAttentionFactor(factor);
  return { theta, dimensions, positionScale: 1, factors, magnitude, yarn };
}

/** The paper's temperature as a factor of cosines and sines. */
export function defaultAttentionFactor(factor: number): number {
  return factor > 1 ? 0.1 * Math.log(factor) + 1 : 1;
}
