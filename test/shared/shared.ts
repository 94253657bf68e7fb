/**
 * Reference data kept outside the repository, made by another independent implementation: the model's Hugging Face
 * folders and their token ids, logits and perplexity. BITNET_SHARED names the folder (default: ../shared).
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = join(__dirname, "..", "..");
const SHARED = resolve(process.env.BITNET_SHARED ?? join(ROOT, "..", "shared"));
const MODELS = join(SHARED, "models");
const PRESENT = existsSync(join(MODELS, "ref", "reference.json"));

/** Two forms of the same model: bf16 master weights, and packed ternaries, which the bundled GGUF is made from. */
export type Form = "master" | "packed";

/** ref/reference.json, as far as it is used. */
export interface SharedReference {
  tokenizer: { bos: number; vocab: number };
  prompts: {
    text: string;
    /** With the begin token. */
    ids: number[];
    greedy_packed: { ids: number[]; top1_minus_top2: number[] };
  }[];
  perplexity: Record<Form, { nll_sum: number; tokens: number; perplexity: number }>;
}

/** ref/tiefree.json, as far as it is used. */
export interface SharedTieFree {
  prompts: { ids: number[]; logits: string }[];
}

/** `describe` where the data is there; else one skipped test and a warning that says what is missing. */
export function describeShared(name: string, body: () => void): void {
  if (PRESENT) {
    describe(name, body);
    return;
  }
  const message = `no reference data in ${SHARED}: set BITNET_SHARED to its folder`;
  console.warn(`${name}: skipped, ${message}`);
  describe(name, () => test.skip(message, () => undefined));
}

/** A Hugging Face folder of the model. */
export function sharedModel(form: Form): string {
  return join(MODELS, form);
}

/** Text of a file under ref/. */
export function sharedText(name: string): string {
  return readFileSync(join(MODELS, "ref", name), "utf8");
}

export function sharedReference(): SharedReference {
  return JSON.parse(sharedText("reference.json")) as SharedReference;
}

export function sharedTieFree(): SharedTieFree {
  return JSON.parse(sharedText("tiefree.json")) as SharedTieFree;
}

/** Raw little-endian float32 logits, `name` without `.f32`. */
export function sharedLogits(name: string): Float32Array {
  const bytes = readFileSync(join(MODELS, "ref", `${name}.f32`));
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4));
}

/**
 * Chunks of held-out text as `reference.json` says: 511 tokens each, the first scored from the begin token.
 * @param ids of the whole text without special tokens
 */
export function perplexityChunks(ids: readonly number[]): number[][] {
  return Array.from({ length: Math.ceil(ids.length / 511) }, (_, i) => ids.slice(i * 511, (i + 1) * 511));
}

/** Ids without the begin token that `encode` may put in front. */
export function withoutBos(ids: ArrayLike<number>, bos: number): number[] {
  const list = Array.from(ids);
  return list[0] === bos ? list.slice(1) : list;
}
