import type { Engine, WorkOptions } from "../engine";
import { InvalidOptionError } from "../errors";
import type { Prompt } from "./generate";
import { tracedModel } from "./generation_span";
import { traced, type TraceAttributes } from "./tracing";
import type { TokenScore } from "./types";

/** How likely a text is after another. */
export interface ContinuationScore {
  /** The natural logarithm of the probability of the whole continuation: the sum over its tokens. */
  logprob: number;
  /** Each token's own. */
  tokens: TokenScore[];
}

/**
 * How likely `continuation` is after `prompt`. Text is encoded in two parts, so the border between them is one between
 * tokens.
 * @throws InvalidOptionError when the prompt or the continuation has no tokens, ContextLengthError
 */
export async function scoreContinuation(
  engine: Engine,
  prompt: Prompt,
  continuation: Prompt,
  options: WorkOptions,
): Promise<ContinuationScore> {
  engine.checkOpen();
  const most = engine.info.contextLength + 1;
  const before = typeof prompt === "string" ? await engine.encode("model.score: the prompt", prompt, most) : prompt;
  const after =
    typeof continuation === "string"
      ? await engine.encode("model.score: the continuation", continuation, most, { addSpecial: false })
      : continuation;
  if (before.length === 0) throw new InvalidOptionError("model.score: the prompt has no tokens; give at least one.");
  if (after.length === 0) throw new InvalidOptionError("model.score: the continuation has no tokens.");
  const all = [...Array.from(before), ...Array.from(after)];
  const logprobs = await tracedScore(engine, "model.score", all, () => engine.score(all, options, before.length));
  const tokens = Array.from(logprobs, (logprob, i) => ({ token: after[i] ?? 0, logprob }));
  return { logprob: logprobs.reduce((sum, each) => sum + each, 0), tokens };
}

/** Computes over given tokens within a span of the area "score". */
export function tracedScore<T>(
  { info }: Engine,
  operation: string,
  tokens: ArrayLike<number>,
  work: () => Promise<T>,
): Promise<T> {
  const attributes = (): TraceAttributes => ({
    "gen_ai.operation.name": "score",
    ...tracedModel(info),
    "gen_ai.usage.input_tokens": tokens.length,
  });
  return traced("score", operation, attributes, work);
}
