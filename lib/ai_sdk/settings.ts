import type { SharedV3Warning } from "@ai-sdk/provider";
import { generationChecks, type GenerationOptions } from "../generation";
import type { BackendOptions, TextFormat } from "../server/backend";
import { checkOptions } from "../validate";
import type { LanguageModelCall } from "./call";

/**
 * What calls may give beyond the AI SDK's own settings, as `providerOptions: { bitnet: { minP: 0.05, logprobs: 3 } }`:
 * this package's generation options, those excepted that the AI SDK has a name for.
 */
export type BitnetModelOptions = Omit<GenerationOptions, "signal" | "format" | "maxTokens" | "stop">;

/** How a language model is set up. */
export interface LanguageModelSettings extends BitnetModelOptions {
  /** Name of a built-in chat template or Jinja source. Default: the model's own. */
  template?: string;
}

const { signal: _signal, format: _format, maxTokens: _maxTokens, stop: _stop, ...modelChecks } = generationChecks;

/**
 * The options of a model or a call.
 * @throws InvalidOptionError
 */
export function checkModelOptions(where: string, options: unknown): BitnetModelOptions {
  return checkOptions(where, options, modelChecks);
}

/** Seeds of the engine are 0 to 2^53 - 1; callers of the AI SDK may give negative ones. */
const SEEDS = 2 ** 53;

/** Efforts of reasoning that ask for nothing. Version 7 of the SDK has this setting. */
const NO_EFFORT: ReadonlySet<string> = new Set(["provider-default", "none"]);

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * A call's settings in this package's words. The AI SDK's own go before `providerOptions.bitnet`, which go before those
 * that the model was made with.
 * @throws InvalidOptionError
 */
export function generationOptions(
  call: LanguageModelCall,
  defaults: BitnetModelOptions,
  warnings: SharedV3Warning[],
): BackendOptions {
  const options: Writable<BackendOptions> = {
    ...defaults,
    ...checkModelOptions("providerOptions.bitnet", call.providerOptions?.bitnet),
  };
  const set = <K extends keyof BackendOptions>(name: K, value: BackendOptions[K] | undefined): void => {
    if (value !== undefined) options[name] = value;
  };
  set("maxTokens", call.maxOutputTokens);
  set("temperature", call.temperature);
  // 0 keeps the likeliest token only, as does the smallest share above it.
  set("topP", call.topP === 0 ? Number.MIN_VALUE : call.topP);
  set("topK", call.topK);
  set("presencePenalty", call.presencePenalty);
  set("frequencyPenalty", call.frequencyPenalty);
  set("seed", call.seed !== undefined && call.seed < 0 ? call.seed + SEEDS : call.seed);
  const stop = call.stopSequences?.filter((each) => each !== "");
  if (stop && stop.length > 0) options.stop = stop;
  set("format", formatOf(call.responseFormat, warnings));
  set("signal", call.abortSignal);
  // The SDK gives undefined for what the caller did not set.
  const { reasoning } = call as { reasoning?: string | undefined };
  if (reasoning !== undefined && !NO_EFFORT.has(reasoning)) {
    warnings.push({ type: "unsupported", feature: "reasoning", details: "The model has no setting of its effort." });
  }
  return options;
}

function formatOf(asked: LanguageModelCall["responseFormat"], warnings: SharedV3Warning[]): TextFormat | undefined {
  if (asked?.type !== "json") return undefined;
  if (asked.schema) return { type: "json_schema", schema: asked.schema as Record<string, unknown> };
  warnings.push({
    type: "compatibility",
    feature: "responseFormat without a schema",
    details: "The text is held to some JSON object.",
  });
  return { type: "json_object" };
}
