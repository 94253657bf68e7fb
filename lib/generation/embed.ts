import { setMaxListeners } from "node:events";
import { withinTime, type Engine, type Pooling, type WorkOptions } from "../engine";
import { InvalidOptionError } from "../errors";
import { boolean, checkOptions, checkPrompt, choice, integer } from "../validate";
import type { Prompt } from "./generate";
import { workChecks } from "./options";
import { tracedModel } from "./generation_span";
import { traced, type TraceAttributes } from "./tracing";

/** How texts become vectors. All optional. */
export interface EmbedOptions {
  /** Scales each vector to length 1, so that dot products are cosines. Default true. */
  normalize?: boolean;
  /** Keeps the first so many numbers (Matryoshka embeddings), 1 to the model's embedding length. Default: all. */
  dimensions?: number;
  /**
   * What a text's vector is made of: the last token's, the mean of all tokens', or the first token's. Default: what the
   * model was made for, else "mean".
   */
  pooling?: Pooling;
  /** Cuts texts that are too long at their end, in place of refusing them. Default false. */
  truncate?: boolean;
  /** Texts of higher priority are served first where some must wait, -100 to 100. Default 0. */
  priority?: number;
  /** Milliseconds after which all is given up with an `AbortError`, waiting included. Default: no limit. */
  timeout?: number;
  /** Stops the work; the promise rejects with `AbortError`. */
  signal?: AbortSignal;
}

/** Texts of one call that are submitted at a time. */
const MOST_AT_A_TIME = 16;

const checks = {
  ...workChecks,
  normalize: boolean(),
  dimensions: integer({ min: 1 }),
  pooling: choice(["mean", "last", "first"] as const),
  truncate: boolean(),
};

/**
 * The vectors of texts, in their order. They are computed together.
 * @throws InvalidOptionError, ContextLengthError, ClosedError, AbortError
 */
export async function embedTexts(
  engine: Engine,
  texts: Prompt | readonly Prompt[],
  options: EmbedOptions | undefined,
): Promise<Float32Array[]> {
  const what = "model.embed";
  const given = checkOptions(what, options, checks);
  const { embeddingLength, pooling: own } = engine.info;
  const {
    dimensions = embeddingLength,
    normalize = true,
    truncate = false,
    pooling = own ?? "mean",
    ...limits
  } = given;
  if (dimensions > embeddingLength) {
    throw new InvalidOptionError(
      `${what}: option "dimensions" is ${dimensions}; the model's vectors have ${embeddingLength} numbers.`,
    );
  }
  engine.checkOpen();
  const list = isList(texts) ? texts : [texts];
  const attributes = (): TraceAttributes => ({
    "gen_ai.operation.name": "embeddings",
    ...tracedModel(engine.info),
    "gen_ai.embeddings.dimension.count": dimensions,
  });
  return traced("embedding", what, attributes, async (add) => {
    let inputTokens = 0;
    const vector = async (text: Prompt, i: number, work: WorkOptions): Promise<Float32Array> => {
      const tokens = await tokensOf(engine, text, i, truncate);
      inputTokens += tokens.length;
      const whole = await pool(engine, tokens, pooling, work);
      const cut = whole.subarray(0, dimensions);
      return Float32Array.from(normalize ? unit(cut) : cut);
    };
    const vectors = await withinTime(limits, (work) => together(list, work, vector));
    add({ "gen_ai.usage.input_tokens": inputTokens });
    return vectors;
  });
}

/** What `work` gives for each text, in their order; some texts are worked on at a time, and one that fails ends all. */
async function together<T>(
  list: readonly Prompt[],
  options: WorkOptions,
  work: (text: Prompt, index: number, options: WorkOptions) => Promise<T>,
): Promise<T[]> {
  const stop = new AbortController();
  const { signal } = options;
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  // One listener a text is no leak.
  setMaxListeners(0, both);
  const results: T[] = [];
  const next = list.entries();
  // Each worker takes the next text: a long list neither fills the queue nor keeps others out of it.
  const worker = async (): Promise<void> => {
    for (const [i, text] of next) results[i] = await work(text, i, { ...options, signal: both });
  };
  const workers = Array.from({ length: Math.min(list.length, MOST_AT_A_TIME) }, worker);
  try {
    await Promise.all(workers);
    return results;
  } catch (error) {
    // One text failed: nobody waits for the others.
    stop.abort();
    await Promise.allSettled(workers);
    throw error;
  }
}

function isList(texts: Prompt | readonly Prompt[]): texts is readonly Prompt[] {
  return Array.isArray(texts) && typeof texts[0] !== "number";
}

async function tokensOf(engine: Engine, text: Prompt, index: number, truncate: boolean): Promise<ArrayLike<number>> {
  const what = `model.embed: text ${index}`;
  checkPrompt(what, text);
  const most = engine.info.contextLength;
  const tokens = typeof text === "string" ? await engine.encode(what, text, truncate ? Infinity : most) : text;
  if (tokens.length === 0) throw new InvalidOptionError(`${what} has no tokens; there is nothing to make a vector of.`);
  engine.checkTokens(what, tokens, truncate ? Infinity : most);
  if (tokens.length <= most) return tokens;
  // What the tokenizer puts behind a text (an EOS that last-token pooling reads) stays behind it.
  const last = tokens[tokens.length - 1] ?? 0;
  const keepsEnd = typeof text === "string" && engine.tokenizer.isSpecial(last);
  const cut = Array.from({ length: most }, (_, i) => tokens[i] ?? 0);
  if (keepsEnd) cut[most - 1] = last;
  return cut;
}

async function pool(
  engine: Engine,
  tokens: ArrayLike<number>,
  pooling: Pooling,
  work: WorkOptions,
): Promise<Float64Array> {
  const sum = new Float64Array(engine.info.embeddingLength);
  const used = pooling === "first" ? [tokens[0] ?? 0] : tokens;
  const first = pooling === "mean" ? 0 : used.length - 1;
  await engine.hiddenStates("model.embed", used, {
    ...work,
    first,
    onState(state) {
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (state[i] ?? 0);
    },
  });
  const count = used.length - first;
  return sum.map((value) => value / count);
}

function unit(vector: Float64Array): Float64Array {
  let squares = 0;
  for (const value of vector) squares += value * value;
  // A vector of zeros has no direction; it stays what it is.
  return squares === 0 ? vector : vector.map((value) => value / Math.sqrt(squares));
}
