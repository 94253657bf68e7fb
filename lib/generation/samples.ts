import type { Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import { randomSeed } from "../sampling";
import { checkOptions, describe } from "../validate";
import { streamText, type Prompt } from "./generate";
import { generationChecks, type GenerationOptions } from "./options";
import { collectText } from "./stream";
import type { Chunk, GenerationResult } from "./types";

const MOST_SAMPLES = 1024;

/**
 * Several texts from one prompt, which is computed once: the others begin when the first has read it. Text i has the
 * seed `seed + i`, so each is what `generate` gives with that seed.
 * @throws InvalidOptionError, and what `generate` rejects with: one failure stops all
 */
export async function generateSamples(
  what: string,
  engine: Engine,
  prompt: Prompt,
  count: number,
  options?: GenerationOptions,
): Promise<GenerationResult[]> {
  if (!Number.isSafeInteger(count) || count < 1 || count > MOST_SAMPLES) {
    throw new InvalidOptionError(
      `${what}: the number of texts must be an integer from 1 to ${MOST_SAMPLES}, not ${describe(count)}.`,
    );
  }
  const checked = checkOptions(what, options, generationChecks);
  const seed = checked.seed ?? randomSeed();
  const streams = Array.from({ length: count }, (_, i) =>
    streamText(what, engine, prompt, { ...checked, seed: seed + i }),
  );
  const [leader, ...followers] = streams;
  if (!leader) return [];
  try {
    const first = await leader.next();
    const rest = followers.map((stream) => collectText(stream));
    return await Promise.all([collectText(resume(first, leader)), ...rest]);
  } catch (error) {
    await Promise.all(streams.map((stream) => stream.return()));
    throw error;
  }
}

async function* resume(first: IteratorResult<Chunk, undefined>, rest: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  if (first.done) return;
  yield first.value;
  if (first.value.finishReason === undefined) yield* rest;
}
