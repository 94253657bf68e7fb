import {
  resolveSamplingOptions,
  samplingChecks,
  type ResolvedSamplingOptions,
  type SamplingOptions,
} from "../sampling";
import { abortSignal, boolean, checkOptions, either, integer, listOf, text, type Check } from "../validate";

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
  /** Stops the work: whoever waits gets an `AbortError` at once. */
  signal?: AbortSignal;
}

/** Checks of `GenerationOptions`. */
export const generationChecks = {
  ...samplingChecks,
  maxTokens: integer({ min: 1 }),
  stop: stopCheck,
  stopTokens: listOf(integer({ min: 0 }), { max: 1024 }),
  ignoreEos: boolean(),
  signal: abortSignal(),
};

/** Options with every default filled in. */
export interface ResolvedGenerationOptions {
  sampling: ResolvedSamplingOptions;
  maxTokens: number;
  stop: readonly string[];
  stopTokens: readonly number[];
  ignoreEos: boolean;
  signal: AbortSignal | undefined;
}

/**
 * Checks options and fills in defaults.
 * @param where the function that takes them, for messages
 * @throws InvalidOptionError
 */
export function resolveGenerationOptions(where: string, options: unknown): ResolvedGenerationOptions {
  const { maxTokens, stop, stopTokens, ignoreEos, signal, ...sampling } = checkOptions(
    where,
    options,
    generationChecks,
  );
  return {
    sampling: resolveSamplingOptions(sampling),
    maxTokens: maxTokens ?? Infinity,
    stop: stop ?? [],
    stopTokens: stopTokens ?? [],
    ignoreEos: ignoreEos ?? false,
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
