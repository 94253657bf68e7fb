import { Sequence, type Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import { checkPrompt } from "../validate";
import { resolveGenerationOptions, type GenerationOptions, type ResolvedGenerationOptions } from "./options";
import { mostPromptTokens } from "./sliding";
import { TextStream, type PreparedPrompt, type StreamSource } from "./stream";

/** What a text starts from: text, or token ids that are taken as they are (nothing is put in front). */
export type Prompt = string | ArrayLike<number>;

/**
 * A stream over a sequence of its own, which is freed when the stream ends.
 * @throws InvalidOptionError, ClosedError
 */
export function streamText(what: string, engine: Engine, prompt: Prompt, options?: GenerationOptions): TextStream {
  engine.checkOpen();
  const resolved = resolveGenerationOptions(what, options);
  checkPrompt(`${what}: the prompt`, prompt);
  return streamOnce({ what, engine, options: resolved, prompt: () => prepare(what, engine, prompt, resolved) });
}

/** The same for options that were resolved already and a prompt that is made at the first read. */
export function streamOnce(source: Omit<StreamSource, "sequence" | "ended">): TextStream {
  const sequence = new Sequence();
  return new TextStream({ ...source, sequence, ended: () => source.engine.release(sequence) });
}

async function prepare(
  what: string,
  engine: Engine,
  prompt: Prompt,
  { overflow }: ResolvedGenerationOptions,
): Promise<PreparedPrompt> {
  const most = mostPromptTokens(engine, overflow);
  const tokens =
    typeof prompt === "string" ? await engine.encode(`${what}: the prompt`, prompt, most) : Array.from(prompt);
  if (tokens.length > 0) return { tokens };
  throw new InvalidOptionError(`${what}: the prompt has no tokens; give at least one.`);
}
