import { samplerNames, type SamplerName } from "../sampling";
import type { BackendOptions } from "./backend";
import { invalid } from "./api_error";
import type { Fields } from "./fields";

/** Most texts of one request: `n` times the number of prompts. */
export const MOST_TEXTS = 128;

/** How the answer of a request is made and sent, the same for all endpoints that generate. */
export interface GenerationPlan {
  /** Texts for each prompt. */
  n: number;
  stream: boolean;
  /** A last event with the tokens counted. */
  includeUsage: boolean;
  options: BackendOptions;
}

/** Most token ids of a list. */
const MOST_IDS = 1024;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Seeds of the engine are 0 to 2^53 - 1; clients may send negative ones. */
const SEEDS = 2 ** 53;

/** Reads what chat completions and completions have in common. */
export function readGeneration(fields: Fields): GenerationPlan {
  const stream = fields.boolean("stream") ?? false;
  const n = fields.integer("n", { min: 1, max: MOST_TEXTS }) ?? 1;
  fields.ignore("user", "safety_identifier", "service_tier");
  return { n, stream, includeUsage: readStreamOptions(fields, stream), options: readSampling(fields) };
}

function readStreamOptions(fields: Fields, stream: boolean): boolean {
  const options = fields.object("stream_options");
  if (!options) return false;
  if (!stream) {
    throw invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options");
  }
  const includeUsage = options.boolean("include_usage") ?? false;
  options.ignore("include_obfuscation");
  options.done();
  return includeUsage;
}

/** Reads OpenAI's sampling fields and, as further fields, this package's samplers. */
export function readSampling(fields: Fields): BackendOptions {
  const options: Writable<BackendOptions> = {};
  const set: SetOption = (name, value) => {
    if (value !== undefined) options[name] = value;
  };
  set("temperature", fields.number("temperature", { min: 0, max: 2 }));
  set("topP", topP(fields));
  set("frequencyPenalty", fields.number("frequency_penalty", { min: -2, max: 2 }));
  set("presencePenalty", fields.number("presence_penalty", { min: -2, max: 2 }));
  set("stop", readStop(fields));
  set("logitBias", readLogitBias(fields));
  const seed = fields.integer("seed");
  if (seed !== undefined) options.seed = seed < 0 ? seed + SEEDS : seed;
  readSamplers(fields, set);
  set("ignoreEos", fields.boolean("ignore_eos"));
  const stopTokens = fields.array("stop_token_ids", { max: MOST_IDS });
  if (stopTokens) options.stopTokens = stopTokens.map((id) => tokenId(id, fields.pathOf("stop_token_ids")));
  return options;
}

type SetOption = <K extends keyof BackendOptions>(name: K, value: BackendOptions[K] | undefined) => void;

/** Greater than 0, where 0 itself is not allowed. */
const ABOVE_0 = 1e-6;

/** Reads the samplers that OpenAI does not have, by this package's names in snake case. */
function readSamplers(fields: Fields, set: SetOption): void {
  set("topK", fields.integer("top_k", { min: 0 }));
  set("minP", fields.number("min_p", { min: 0, max: 1 }));
  set("typicalP", fields.number("typical_p", { min: ABOVE_0, max: 1 }));
  set("topNSigma", fields.number("top_n_sigma", { min: 0, max: 1e6 }));
  set("repetitionPenalty", fields.number("repetition_penalty", { min: 0.01, max: 100 }));
  set("repetitionLastN", fields.integer("repetition_last_n", { min: -1 }));
  set("xtcProbability", fields.number("xtc_probability", { min: 0, max: 1 }));
  set("xtcThreshold", fields.number("xtc_threshold", { min: 0, max: 1 }));
  set("dynamicTemperatureRange", fields.number("dynamic_temperature_range", { min: 0, max: 100 }));
  set("dynamicTemperatureExponent", fields.number("dynamic_temperature_exponent", { min: ABOVE_0, max: 100 }));
  set("mirostat", fields.boolean("mirostat"));
  set("mirostatTau", fields.number("mirostat_tau", { min: ABOVE_0, max: 100 }));
  set("mirostatEta", fields.number("mirostat_eta", { min: ABOVE_0, max: 1 }));
  set("dryMultiplier", fields.number("dry_multiplier", { min: 0, max: 100 }));
  set("dryBase", fields.number("dry_base", { min: 1, max: 100 }));
  set("dryAllowedLength", fields.integer("dry_allowed_length", { min: 1 }));
  set("dryLastN", fields.integer("dry_last_n", { min: -1 }));
  const breakers = fields.array("dry_breakers", { max: MOST_IDS });
  set(
    "dryBreakers",
    breakers?.map((id) => tokenId(id, fields.pathOf("dry_breakers"))),
  );
  set("samplers", readOrder(fields));
}

/** The order of samplers, by their names in camel or snake case. */
function readOrder(fields: Fields): SamplerName[] | undefined {
  const list = fields.array("samplers", { max: samplerNames.length });
  const order = list?.map((each) => {
    const found = samplerNames.find((name) => name === each || snakeCase(name) === each);
    if (found !== undefined) return found;
    const known = samplerNames.map((name) => `'${snakeCase(name)}'`).join(", ");
    throw invalid(`Invalid 'samplers': each must be one of ${known}.`, fields.pathOf("samplers"));
  });
  if (order && new Set(order).size < order.length) throw invalid("Invalid 'samplers': one stands twice.", "samplers");
  return order;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** OpenAI allows 0, which keeps the likeliest token only, as does the smallest share above it. */
function topP(fields: Fields): number | undefined {
  const value = fields.number("top_p", { min: 0, max: 1 });
  return value === 0 ? Number.MIN_VALUE : value;
}

function readStop(fields: Fields): string[] | undefined {
  const value = fields.any("stop");
  if (value === undefined) return undefined;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > 16) {
    throw invalid(`Invalid 'stop': at most 16 strings are allowed, but got ${list.length}.`, "stop");
  }
  return list
    .map((each) => {
      if (typeof each !== "string") throw fields.wrongType("stop", "a string or an array of strings", each);
      return each;
    })
    .filter((each) => each !== "");
}

function readLogitBias(fields: Fields): Map<number, number> | undefined {
  const value = fields.any("logit_bias");
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw fields.wrongType("logit_bias", "an object", value);
  }
  const biases = new Map<number, number>();
  for (const [key, bias] of Object.entries(value) as [string, unknown][]) {
    const id = /^\d{1,15}$/.test(key) ? Number(key) : undefined;
    if (id === undefined) throw invalid("Invalid key in 'logit_bias': keys must be token ids.", "logit_bias");
    if (typeof bias !== "number" || !(bias >= -100 && bias <= 100)) {
      throw invalid(`Invalid 'logit_bias' for token ${id}: expected a number from -100 to 100.`, "logit_bias");
    }
    biases.set(id, bias);
  }
  return biases;
}

/** One token id of a list. Whether the vocabulary has it is checked by `checkTokenIds`, once the model is known. */
export function tokenId(value: unknown, path: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw invalid(`Invalid '${path}': expected token ids, integers of at least 0.`, path);
}

/** @throws ApiError 400 for ids outside of the vocabulary */
export function checkTokenIds(ids: Iterable<number>, vocabularySize: number, path: string): void {
  for (const id of ids) {
    if (id >= vocabularySize) {
      throw invalid(`Invalid '${path}': token ${id} is not in the vocabulary of ${vocabularySize}.`, path);
    }
  }
}
