/** What generate.ts writes and bundled.test.ts reads: the reference's results on the bundled model. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Folder of the committed results. */
export const FIXTURES = join(__dirname, "fixtures");

/** Logits of all positions of a prompt: the highest, and those of ids spread over the vocabulary. */
export interface RecordedLogits {
  sampleIds: number[];
  /** Per position, ids by falling logit. */
  topIds: number[][];
  topLogits: number[][];
  sampleLogits: number[][];
}

/** A prompt on which no rounding can flip. */
export interface RecordedTieFree extends RecordedLogits {
  ids: number[];
  tieDistance: number;
}

/** A text, with the sum of -log p of its tokens after the begin token, which `ids` does not include. */
export interface RecordedText extends RecordedLogits {
  name: string;
  text: string;
  ids: number[];
  negativeLogLikelihood: number;
}

/** A greedy continuation; `margins` are highest minus second logit before each token. */
export interface RecordedGreedy {
  prompt: string;
  promptIds: number[];
  ids: number[];
  margins: number[];
}

/** The content of `<name>.json`. */
export interface Fixtures {
  tie_free: { prompts: RecordedTieFree[] };
  texts: { bos: number; texts: RecordedText[] };
  greedy: { continuations: RecordedGreedy[] };
  tokens: { texts: { text: string; ids: number[] }[] };
}

/** Reads committed results. */
export function readFixture<K extends keyof Fixtures>(name: K): Fixtures[K] {
  return JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), "utf8")) as Fixtures[K];
}
