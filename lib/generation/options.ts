import {
  resolveSamplingOptions,
  samplingChecks,
  type ResolvedSamplingOptions,
  type SamplingOptions,
} from "../sampling";
import { checkFormat, formOf, type Form, type LateForm, type TextFormat } from "./structured";
import { abortSignal, boolean, checkOptions, choice, either, integer, listOf, text, type Check } from "../validate";

/** How a text is generated. All optional. */
export interface GenerationOptions extends SamplingOptions {
  /** Most tokens to generate, at least 1. Default: what the context has room for. */
  maxTokens?: number;
  /** A string, or up to 16, that end the text when they come; they are not part of it. Default none. */
  stop?: string | readonly string[];
  /** Token ids that end the text, besides the model's own. Default none. */
  stopTokens?: readonly number[];
  /** Goes on when the model ends its text. Default false. */
  ignoreEos?: boolean;
  /**
   * Reports each token's log-probability, and that many of the likeliest alternatives with theirs, 0 to 100. Takes a
   * look at every logit. Default: none.
   */
  logprobs?: number;
  /** Texts of higher priority are served first where some must wait, -100 to 100. Default 0. */
  priority?: number;
  /**
   * Milliseconds after which the text is given up with an `AbortError`, waiting included; in a conversation the whole turn,
   * with the functions that it calls. Default: no limit.
   */
  timeout?: number;
  /**
   * "prompt-lookup" guesses tokens from what came before and checks several at a time: the same text, sooner where it
   * repeats its context; it stops guessing for a while where that does not pay. Default "off".
   */
  speculation?: "off" | "prompt-lookup";
  /**
   * Holds the text to a form: `{ type: "json_object" }`, `{ type: "json_schema", schema }`, `{ type: "regex", pattern }` or
   * `{ type: "grammar", grammar }` (llama.cpp's GBNF). The text ends when it is complete; every token is one that keeps the form. Default: none.
   */
  format?: TextFormat;
  /**
   * What happens when prompt and answer fill the context: "stop" ends the text with the finish reason "context"; "error"
   * fails it with `ContextLengthError`; "slide" forgets the older half of what stands behind the first `keepTokens` and
   * goes on, as often as needed, and cuts a prompt that is too long in the same way (in a conversation, whole turns first;
   * see `usage.droppedTokens`). With "stop" and "error" a prompt that is too long is refused. Default "stop".
   */
  overflow?: "stop" | "error" | "slide";
  /**
   * Tokens at the start of the prompt that are never forgotten, at most half of the context. Default: 4, which attention
   * leans on (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023); in a conversation, the
   * system message.
   */
  keepTokens?: number;
  /** Stops the work: whoever waits gets an `AbortError` at once. */
  signal?: AbortSignal;
}

/** Checks of what orders and stops work of any kind. */
export const workChecks = {
  priority: integer({ min: -100, max: 100 }),
  timeout: integer({ min: 1, max: 2 ** 31 - 1 }),
  signal: abortSignal(),
};

/** Checks of `GenerationOptions`. */
export const generationChecks = {
  ...workChecks,
  ...samplingChecks,
  maxTokens: integer({ min: 1 }),
  stop: stopCheck,
  stopTokens: listOf(integer({ min: 0 }), { max: 1024 }),
  ignoreEos: boolean(),
  logprobs: integer({ min: 0, max: 100 }),
  speculation: choice(["off", "prompt-lookup"] as const),
  format: checkFormat,
  overflow: choice(["stop", "error", "slide"] as const),
  keepTokens: integer({ min: 0 }),
};

/** Options with every default filled in. */
export interface ResolvedGenerationOptions {
  sampling: ResolvedSamplingOptions;
  maxTokens: number;
  stop: readonly string[];
  stopTokens: readonly number[];
  ignoreEos: boolean;
  /** Undefined: none are reported. */
  logprobs: number | undefined;
  priority: number;
  /** Milliseconds. */
  timeout: number | undefined;
  speculation: "off" | "prompt-lookup";
  /** Holds from the first token on. */
  form: Form | undefined;
  /** Holds from a trigger on; only without `form`. */
  lateForm: LateForm | undefined;
  overflow: "stop" | "error" | "slide";
  /** Undefined: as the caller sees fit. */
  keepTokens: number | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Checks options and fills in defaults.
 * @param where the function that takes them, for messages
 * @throws InvalidOptionError
 */
export function resolveGenerationOptions(where: string, options: unknown): ResolvedGenerationOptions {
  const checked = checkOptions(where, options, generationChecks);
  const {
    maxTokens,
    stop,
    stopTokens,
    ignoreEos,
    logprobs,
    priority,
    timeout,
    speculation,
    format,
    overflow,
    keepTokens,
    signal,
    ...sampling
  } = checked;
  return {
    sampling: resolveSamplingOptions(sampling),
    maxTokens: maxTokens ?? Infinity,
    stop: stop ?? [],
    stopTokens: stopTokens ?? [],
    ignoreEos: ignoreEos ?? false,
    logprobs,
    priority: priority ?? 0,
    timeout,
    speculation: speculation ?? "off",
    form: format && formOf(format),
    lateForm: undefined,
    overflow: overflow ?? "stop",
    keepTokens,
    signal,
  };
}

const strings = either(
  "a string or an array of up to 16 strings, none of them empty",
  text(),
  listOf(text(), { max: 16 }),
);

function stopCheck(name: string, value: unknown): ReturnType<Check<string[]>> {
  const checked = strings(name, value);
  return typeof checked === "string" ? [checked] : checked;
}
