/** Shape of a synthetic model. */
export interface Shape {
  layers: number;
  /** Embedding length; a multiple of the head count. */
  width: number;
  ffn: number;
  heads: number;
  kvHeads: number;
  vocabulary: number;
  context: number;
  ropeTheta: number;
  activation: "relu2" | "silu";
  /** Whether the head is the embedding. */
  tiedHead: boolean;
}

/** Shapes by name: published models, and small ones for tests. */
export const PRESETS: Readonly<Record<string, Shape>> = {
  /** microsoft/bitnet-b1.58-2B-4T. */
  "2b4t": {
    layers: 30,
    width: 2560,
    ffn: 6912,
    heads: 20,
    kvHeads: 5,
    vocabulary: 128256,
    context: 4096,
    ropeTheta: 500000,
    activation: "relu2",
    tiedHead: true,
  },
  /** 1bitLLM/bitnet_b1_58-large. */
  large: {
    layers: 24,
    width: 1536,
    ffn: 4096,
    heads: 16,
    kvHeads: 16,
    vocabulary: 32002,
    context: 2048,
    ropeTheta: 10000,
    activation: "silu",
    tiedHead: true,
  },
  /** 1bitLLM/bitnet_b1_58-3B, whose FFN is no multiple of 128. */
  "3b": {
    layers: 26,
    width: 3200,
    ffn: 8640,
    heads: 32,
    kvHeads: 32,
    vocabulary: 32002,
    context: 2048,
    ropeTheta: 10000,
    activation: "silu",
    tiedHead: true,
  },
  /** The dimensions of HF1BitLLM/Llama3-8B-1.58, as a bitnet model with sub-norms. */
  "8b": {
    layers: 32,
    width: 4096,
    ffn: 14336,
    heads: 32,
    kvHeads: 8,
    vocabulary: 128256,
    context: 8192,
    ropeTheta: 500000,
    activation: "silu",
    tiedHead: false,
  },
  small: {
    layers: 8,
    width: 512,
    ffn: 1536,
    heads: 8,
    kvHeads: 4,
    vocabulary: 8192,
    context: 1024,
    ropeTheta: 10000,
    activation: "relu2",
    tiedHead: true,
  },
  tiny: {
    layers: 3,
    width: 256,
    ffn: 768,
    heads: 4,
    kvHeads: 2,
    vocabulary: 1024,
    context: 256,
    ropeTheta: 10000,
    activation: "relu2",
    tiedHead: true,
  },
};
