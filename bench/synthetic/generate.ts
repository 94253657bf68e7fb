import { InvalidOptionError } from "../../lib/errors";
import { writeGguf, type GgufValue } from "../../lib/files/gguf";
import type { Shape } from "./shapes";
import { syntheticVocabulary } from "./vocabulary";
import { planGateShift, syntheticTensors } from "./weights";

/** Options of `generateSynthetic`. */
export interface SyntheticOptions {
  shape: Shape;
  /** Share of squared-ReLU gates that are dead, 0.05 to 0.99; 0.5 is what random weights give. */
  deadGates: number;
  /** Same seed, same file. */
  seed: number;
  /** `general.name`. */
  name: string;
}

/**
 * Writes a GGUF model with random ternary weights.
 * @returns bytes of the file.
 * @throws InvalidOptionError for shapes that no model can have.
 */
export async function generateSynthetic(path: string, options: SyntheticOptions): Promise<number> {
  const { shape, deadGates, seed } = options;
  checkShape(shape);
  if (deadGates < 0.05 || deadGates > 0.99 || Number.isNaN(deadGates)) {
    throw new InvalidOptionError(`The share of dead gates is ${deadGates}; it must lie between 0.05 and 0.99.`);
  }
  if (deadGates !== 0.5 && shape.activation !== "relu2") {
    throw new InvalidOptionError(`Only squared ReLU has dead gates; the activation is ${shape.activation}.`);
  }
  const architecture = shape.activation === "relu2" ? "bitnet-b1.58" : "bitnet";
  const metadata = new Map([...hyperParameters(architecture, options), ...syntheticVocabulary(shape.vocabulary)]);
  return writeGguf(path, { metadata, tensors: syntheticTensors(shape, seed, planGateShift(shape, deadGates)) });
}

function checkShape(shape: Shape): void {
  const { width, ffn, heads, kvHeads, vocabulary } = shape;
  const keys = (width / heads) * kvHeads;
  for (const [name, value] of Object.entries(shape)) {
    if (typeof value === "number" && !(value >= 1 && (Number.isInteger(value) || name === "ropeTheta"))) {
      throw new InvalidOptionError(`The shape's ${name} is ${value}; it must be a positive integer.`);
    }
  }
  if (width % heads !== 0 || (width / heads) % 2 !== 0 || heads % kvHeads !== 0) {
    throw new InvalidOptionError(
      `Width ${width}, ${heads} heads and ${kvHeads} key/value heads do not fit: heads must have an even length, and ` +
        `key/value heads must divide heads.`,
    );
  }
  if ((width * width) % 128 !== 0 || (keys * width) % 128 !== 0 || (ffn * width) % 128 !== 0) {
    throw new InvalidOptionError(`Width ${width} and FFN ${ffn} give matrices that are no multiple of 128 weights.`);
  }
  if (vocabulary < 260 || vocabulary > 1 << 20) {
    throw new InvalidOptionError(`The vocabulary is ${vocabulary}; it must lie between 260 and 1048576.`);
  }
}

function hyperParameters(
  architecture: string,
  { shape, name, seed, deadGates }: SyntheticOptions,
): [string, GgufValue][] {
  const text = (key: string, value: string): [string, GgufValue] => [key, { type: "string", value }];
  const count = (key: string, value: number): [string, GgufValue] => [
    `${architecture}.${key}`,
    { type: "uint32", value },
  ];
  const real = (key: string, value: number): [string, GgufValue] => [
    `${architecture}.${key}`,
    { type: "float32", value },
  ];
  return [
    text("general.architecture", architecture),
    text("general.type", "model"),
    text("general.name", name),
    text("general.description", `Random weights for benchmarks: seed ${seed}, share of dead gates ${deadGates}.`),
    ["general.file_type", { type: "uint32", value: 40 }],
    count("vocab_size", shape.vocabulary),
    count("context_length", shape.context),
    count("embedding_length", shape.width),
    count("block_count", shape.layers),
    count("feed_forward_length", shape.ffn),
    text(`${architecture}.hidden_activation`, shape.activation),
    count("attention.head_count", shape.heads),
    count("attention.head_count_kv", shape.kvHeads),
    real("attention.layer_norm_rms_epsilon", 1e-5),
    count("rope.dimension_count", shape.width / shape.heads),
    real("rope.freq_base", shape.ropeTheta),
  ];
}
