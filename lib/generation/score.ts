import { withinTime, type Engine, type EvaluateOptions } from "../engine";
import { InvalidOptionError } from "../errors";
import type { EncodeOptions } from "../tokenizer";
import { checkOptions, checkPrompt, checkTokenList } from "../validate";
import type { Prompt } from "./generate";
import { tracedModel } from "./generation_span";
import { workChecks } from "./options";
import { traced, type TraceAttributes } from "./tracing";
import type { TokenScore } from "./types";

const SCORE = "model.score";

/** How likely a text is after another. */
export interface ContinuationScore {
  /** The natural logarithm of the probability of the whole continuation: the sum over its tokens. */
  logprob: number;
  /** Each token's own. */
  tokens: TokenScore[];
}

/** See `Model.evaluate`. */
export async function evaluateTokens(
  engine: Engine,
  tokens: ArrayLike<number>,
  options: EvaluateOptions | undefined,
): Promise<Float32Array> {
  const what = "model.evaluate";
  const given = checkOptions(what, options, workChecks);
  checkTokenList(`${what}: the text`, tokens);
  return tracedScore(engine, what, tokens, async () => {
    engine.checkTokens(`${what}: the text`, tokens, engine.info.contextLength);
    return withinTime(given, (work) => engine.evaluate(tokens, work));
  });
}

/** See `Model.score`, of tokens alone. */
export async function scoreTokens(
  engine: Engine,
  tokens: ArrayLike<number>,
  options: EvaluateOptions | undefined,
): Promise<Float64Array> {
  const given = checkOptions(SCORE, options, workChecks);
  checkTokenList(`${SCORE}: the text`, tokens);
  return tracedScore(engine, SCORE, tokens, async () => {
    engine.checkTokens(`${SCORE}: the text`, tokens, mostScored(engine));
    return withinTime(given, (work) => engine.score(tokens, work));
  });
}

/** See `Model.score`. Text is encoded in two parts, so the border between them is one between tokens. */
export async function scoreContinuation(
  engine: Engine,
  prompt: Prompt,
  continuation: Prompt,
  options: EvaluateOptions | undefined,
): Promise<ContinuationScore> {
  const given = checkOptions(SCORE, options, workChecks);
  const parts = { prompt: `${SCORE}: the prompt`, continuation: `${SCORE}: the continuation` };
  checkPrompt(parts.prompt, prompt);
  checkPrompt(parts.continuation, continuation);
  engine.checkOpen();
  const most = mostScored(engine);
  const encode = async (what: string, part: Prompt, own?: EncodeOptions): Promise<ArrayLike<number>> => {
    const tokens = typeof part === "string" ? await engine.encode(what, part, most, own) : part;
    if (tokens.length === 0) throw new InvalidOptionError(`${what} has no tokens; give at least one.`);
    return tokens;
  };
  return withinTime(given, async (work) => {
    const before = await encode(parts.prompt, prompt);
    const after = await encode(parts.continuation, continuation, { addSpecial: false });
    const all = [...Array.from(before), ...Array.from(after)];
    const logprobs = await tracedScore(engine, SCORE, all, async () => {
      engine.checkTokens(parts.prompt, before, most);
      engine.checkTokens(parts.continuation, after, most);
      if (all.length > most) throw engine.tooLong(`${SCORE}: the whole text`, all.length, most);
      return engine.score(all, work, before.length);
    });
    const tokens = Array.from(logprobs, (logprob, i) => ({ token: after[i] ?? 0, logprob }));
    return { logprob: logprobs.reduce((sum, each) => sum + each, 0), tokens };
  });
}

/** The last token of a text needs no place in the context. */
function mostScored({ info }: Engine): number {
  return info.contextLength + 1;
}

/** Computes over given tokens within a span of the area "score". */
function tracedScore<T>(
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
