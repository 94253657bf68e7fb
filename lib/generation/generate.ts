import { Sequence, type Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import { describe } from "../validate";
import { resolveGenerationOptions, type GenerationOptions } from "./options";
import { TextStream } from "./stream";

/** What a text starts from: text, or token ids that are taken as they are (nothing is put in front). */
export type Prompt = string | ArrayLike<number>;

/**
 * A stream over a sequence of its own, which is freed when the stream ends.
 * @throws InvalidOptionError, ClosedError
 */
export function streamText(what: string, engine: Engine, prompt: Prompt, options?: GenerationOptions): TextStream {
  engine.checkOpen();
  const resolved = resolveGenerationOptions(what, options);
  checkPrompt(what, prompt);
  const sequence = new Sequence();
  return new TextStream({
    engine,
    what,
    options: resolved,
    sequence,
    prompt: () => promptTokens(what, engine, prompt),
    ended: () => engine.release(sequence),
  });
}

function checkPrompt(what: string, prompt: unknown): void {
  const isList = Array.isArray(prompt) || (ArrayBuffer.isView(prompt) && !(prompt instanceof DataView));
  if (typeof prompt === "string" || isList) return;
  throw new InvalidOptionError(`${what}: the prompt must be a string or token ids, not ${describe(prompt)}.`);
}

async function promptTokens(what: string, engine: Engine, prompt: Prompt): Promise<ArrayLike<number>> {
  const tokens = typeof prompt === "string" ? await engine.tokenizer.encode(prompt) : Array.from(prompt);
  if (tokens.length > 0) return tokens;
  throw new InvalidOptionError(`${what}: the prompt has no tokens; give at least one.`);
}
