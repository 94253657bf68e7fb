/**
 * Writes test/reference/fixtures/*.json, the expectations of bundled.test.ts. Run after the bundled model has changed:
 *
 *   node -r @swc-node/register test/reference/generate.ts [model.gguf or folder]
 *
 * Tie-free prompts are searched token by token, which takes seconds on the bundled model.
 */
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { uniform } from "../helpers/random";
import { FIXTURES, type Fixtures, type RecordedGreedy, type RecordedLogits } from "./fixtures";
import { readGguf } from "./gguf";
import { loadReference, logSoftmax, type ReferenceModel } from "./model";
import { GREEDY_PROMPTS, TEXTS, TOKENIZER_TEXTS } from "./texts";
import { tieFreePrompt } from "./ties";
import { tokenizerFromFolder, tokenizerFromGguf, type ReferenceTokenizer } from "./tokenizer";

const TIE_FREE_PROMPTS = 2;
const TIE_FREE_LENGTH = 32;
/** In int8 steps; float32 engines stay within about 1e-5 relative, 1e-4 steps at worst. */
const TIE_DISTANCE = 2.5e-4;
const GREEDY_LENGTH = 48;

function bundledModel(): string {
  const folder = join(__dirname, "..", "..", "models");
  const files = readdirSync(folder).filter((file) => file.endsWith(".gguf"));
  if (files.length !== 1) throw new Error(`models/ holds ${files.length} .gguf files: name the model to use`);
  return join(folder, files[0]!);
}

function round(value: number): number {
  return Number(value.toFixed(5));
}

function idsByLogit(logits: Float64Array): number[] {
  return Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
}

function record(logits: readonly Float64Array[], count: number): RecordedLogits {
  const topIds = logits.map((row) => idsByLogit(row).slice(0, count));
  const sampleIds = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) / count) * logits[0]!.length));
  return {
    sampleIds,
    topIds,
    topLogits: logits.map((row, i) => topIds[i]!.map((id) => round(row[id]!))),
    sampleLogits: logits.map((row) => sampleIds.map((id) => round(row[id]!))),
  };
}

function greedy(model: ReferenceModel, tokenizer: ReferenceTokenizer, prompt: string): RecordedGreedy {
  const sequence = model.sequence();
  const promptIds = [tokenizer.bos, ...tokenizer.encode(prompt)];
  const ids: number[] = [];
  const margins: number[] = [];
  let logits = promptIds.map((id) => sequence.push(id).logits).at(-1)!;
  while (ids.length < GREEDY_LENGTH) {
    const [first, second] = idsByLogit(logits);
    ids.push(first!);
    margins.push(round(logits[first!]! - logits[second!]!));
    logits = sequence.push(first!).logits;
  }
  return { prompt, promptIds, ids, margins };
}

/** One inner array a line: short enough to read, long enough to keep the file small. */
function write<K extends keyof Fixtures>(name: K, content: Fixtures[K]): void {
  const text = JSON.stringify(content, null, 1).replace(/\[\s+(-?\d[^[\]{}"]*?)\s+\]/g, (_, numbers: string) => {
    return `[${numbers.replace(/\s+/g, "")}]`;
  });
  writeFileSync(join(FIXTURES, `${name}.json`), `${text}\n`);
  console.log(`${name}.json: ${text.length} characters`);
}

function main(): void {
  const path = process.argv[2] ?? bundledModel();
  const tokenizer = statSync(path).isDirectory() ? tokenizerFromFolder(path) : tokenizerFromGguf(readGguf(path));
  // Float32 keys and values, as the engine keeps them with kvType "f32".
  const model = loadReference(path, { kv: "f32" });
  mkdirSync(FIXTURES, { recursive: true });

  write("tokens", { texts: TOKENIZER_TEXTS.map((text) => ({ text, ids: tokenizer.encode(text) })) });
  const texts = Object.entries(TEXTS).map(([name, text]) => {
    const ids = tokenizer.encode(text);
    const logits = model.logits([tokenizer.bos, ...ids]);
    const negativeLogLikelihood = ids.reduce((sum, id, i) => sum - logSoftmax(logits[i]!, id), 0);
    return { name, text, ids, negativeLogLikelihood, ...record(logits, 16) };
  });
  write("texts", { bos: tokenizer.bos, texts });
  write("greedy", { continuations: GREEDY_PROMPTS.map((prompt) => greedy(model, tokenizer, prompt)) });
  const prompts = Array.from({ length: TIE_FREE_PROMPTS }, (_, i) => {
    const prompt = tieFreePrompt(model, TIE_FREE_LENGTH, uniform(1000 + i), { activations: TIE_DISTANCE });
    return { ids: prompt.tokens, tieDistance: prompt.tieDistance, ...record(prompt.logits, 64) };
  });
  write("tie_free", { prompts });
}

main();
