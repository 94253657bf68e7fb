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
  const set = <K extends keyof BackendOptions>(name: K, value: BackendOptions[K] | undefined): void => {
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
  set("topK", fields.integer("top_k", { min: 0 }));
  set("minP", fields.number("min_p", { min: 0, max: 1 }));
  set("repetitionPenalty", fields.number("repetition_penalty", { min: 0.01, max: 100 }));
  set("repetitionLastN", fields.integer("repetition_last_n", { min: -1 }));
  set("ignoreEos", fields.boolean("ignore_eos"));
  const stopTokens = fields.array("stop_token_ids", { max: 1024 });
  if (stopTokens) options.stopTokens = stopTokens.map((id) => tokenId(id, fields.pathOf("stop_token_ids")));
  return options;
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
