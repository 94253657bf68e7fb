/** The door to the reference: a model file in, logits out. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bitnetFromFolder, bitnetFromGguf } from "./bitnet";
import { ReferenceSequence, type DecoderOptions, type DecoderWeights } from "./decoder";
import { gemma3FromFolder, gemma3FromGguf } from "./gemma3";
import { readGguf, type GgufFile } from "./gguf";
import { llamaFromFolder, llamaFromGguf } from "./llama";
import { qwenFromFolder, qwenFromGguf } from "./qwen";

/** A model in float64. */
export class ReferenceModel {
  constructor(
    readonly weights: DecoderWeights,
    private readonly options: DecoderOptions = {},
  ) {}

  get vocabularySize(): number {
    return this.weights.embedding.rows;
  }

  /** An empty sequence for token-by-token work. */
  sequence(): ReferenceSequence {
    return new ReferenceSequence(this.weights, this.options);
  }

  /** The logits of every position; tokens are taken as they are. */
  logits(tokens: Iterable<number>): Float64Array[] {
    const sequence = this.sequence();
    return Array.from(tokens, (token) => sequence.push(token).logits);
  }

  /** Sum over `targets` of -log p(target | everything before), `first` being given and not scored. */
  negativeLogLikelihood(first: number, targets: readonly number[]): number {
    const sequence = this.sequence();
    let sum = 0;
    let token = first;
    for (const target of targets) {
      sum -= logSoftmax(sequence.push(token).logits, target);
      token = target;
    }
    return sum;
  }
}

/** The logarithm of the probability of `target` under softmax of `logits`. */
export function logSoftmax(logits: Iterable<number> & ArrayLike<number>, target: number): number {
  let highest = -Infinity;
  for (const logit of logits) highest = Math.max(highest, logit);
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - highest);
  return logits[target]! - highest - Math.log(total);
}

const FOLDER_READERS: Readonly<Record<string, (folder: string) => DecoderWeights>> = {
  bitnet: bitnetFromFolder,
  llama: llamaFromFolder,
  qwen2: qwenFromFolder,
  qwen3: qwenFromFolder,
  gemma3_text: gemma3FromFolder,
};

const GGUF_READERS: Readonly<Record<string, (file: GgufFile) => DecoderWeights>> = {
  "bitnet-b1.58": bitnetFromGguf,
  "bitnet-25": bitnetFromGguf,
  bitnet: bitnetFromGguf,
  llama: llamaFromGguf,
  qwen2: qwenFromGguf,
  qwen3: qwenFromGguf,
  gemma3: gemma3FromGguf,
};

/** Loads a GGUF file or a Hugging Face folder. The options hold for every sequence of the model. */
export function loadReference(path: string, options: DecoderOptions = {}): ReferenceModel {
  if (statSync(path).isDirectory()) {
    const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as Record<string, unknown>;
    // 1bitLLM's folders say "llama".
    const old = Array.isArray(config.architectures) && config.architectures.includes("BitnetForCausalLM");
    const type = old ? "bitnet" : String(config.model_type);
    const read = FOLDER_READERS[type];
    if (!read) throw new Error(`the reference does not know model type ${type}`);
    return new ReferenceModel(read(path), options);
  }
  const file = readGguf(path);
  const architecture = String(file.metadata.get("general.architecture"));
  const read = GGUF_READERS[architecture];
  if (!read) throw new Error(`the reference does not know architecture ${architecture}`);
  return new ReferenceModel(read(file), options);
}
