import { InvalidOptionError } from "../errors";
import { boolean, type Check, checkOptions, choice, describe, integer, listOf, number } from "../validate";
import { defaultOrder, samplerNames, type SamplerName } from "./order";

/** How the next token is chosen. All optional; the defaults stand with each. */
export interface SamplingOptions {
  /** Divides the logits before the draw, 0 to 100. 0 always takes the likeliest token. Default 0.8. */
  temperature?: number;
  /** Keeps the k likeliest tokens; 0 keeps all. Default 40. */
  topK?: number;
  /** Keeps the fewest tokens whose probabilities sum to at least topP, in (0, 1]; 1 keeps all. Default 0.95. */
  topP?: number;
  /** Keeps tokens with at least minP times the likeliest one's probability, 0 to 1; 0 keeps all. Default 0.05. */
  minP?: number;
  /**
   * Makes tokens of the last `repetitionLastN` (prompt included) less likely: divides their positive logits and
   * multiplies negative ones (Keskar et al., CTRL, 2019). Above 0, at most 100; 1 is off. Default 1.
   */
  repetitionPenalty?: number;
  /** Tokens the repetition penalty looks back; 0 is off, -1 is everything. Default 64. */
  repetitionLastN?: number;
  /** Taken from a token's logit for each time it was generated (OpenAI's definition), -100 to 100. Default 0. */
  frequencyPenalty?: number;
  /** Taken once from the logits of tokens that were generated (OpenAI's definition), -100 to 100. Default 0. */
  presencePenalty?: number;
  /**
   * Keeps the tokens whose surprise is nearest to what is to be expected, up to this probability in sum (locally typical
   * sampling), in (0, 1]; 1 keeps all. Default 1.
   */
  typicalP?: number;
  /** Keeps tokens with logits of at most this many standard deviations below the greatest; 0 keeps all. Default 0. */
  topNSigma?: number;
  /** How often the likeliest tokens are left out (XTC), 0 to 1. Default 0. */
  xtcProbability?: number;
  /** Tokens of at least this probability may be left out by XTC, all but the least likely, 0 to 1. Default 0.1. */
  xtcThreshold?: number;
  /** The temperature goes this far down and up with the model's sureness (dynamic temperature), 0 to 100. Default 0. */
  dynamicTemperatureRange?: number;
  /** Shape of the dynamic temperature, above 0, at most 100. Default 1. */
  dynamicTemperatureExponent?: number;
  /** Holds the surprise of the text at `mirostatTau`; instead of all samplers but penalties and temperature. Default false. */
  mirostat?: boolean;
  /** Bits of surprise per token that mirostat steers for, above 0, at most 100. Default 5. */
  mirostatTau?: number;
  /** How fast mirostat follows, above 0, at most 1. Default 0.1. */
  mirostatEta?: number;
  /** Strength of the penalty on tokens that would lengthen a repetition (DRY), 0 to 100; 0 is off. Default 0. */
  dryMultiplier?: number;
  /** Growth of the DRY penalty with each repeated token, 1 to 100. Default 1.75. */
  dryBase?: number;
  /** Repetitions shorter than this many tokens cost nothing, at least 1. Default 2. */
  dryAllowedLength?: number;
  /** Tokens DRY looks back, prompt included; 0 is off, -1 is everything. Default -1. */
  dryLastN?: number;
  /** Ids of tokens that no repetition reaches across. Default none. */
  dryBreakers?: readonly number[];
  /**
   * The order of samplers after penalties and bias; those that are left out are not used. Default topNSigma, topK,
   * typicalP, topP, minP, xtc, temperature: llama.cpp's.
   */
  samplers?: readonly SamplerName[];
  /** Added to the logits of token ids, after penalties: -100 to 100, or -Infinity to forbid a token. Default none. */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /** Same seed, same text; an integer from 0 to 2^53 - 1. Default: chosen at random. */
  seed?: number;
}

/** `SamplingOptions` with every default filled in, except the seed. */
export interface ResolvedSamplingOptions extends Required<Omit<SamplingOptions, "seed" | "logitBias">> {
  logitBias: ReadonlyMap<number, number>;
  seed?: number;
}

/** What is used where neither the caller nor the model's generation_config says otherwise: llama.cpp's defaults. */
export const samplingDefaults: ResolvedSamplingOptions = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repetitionPenalty: 1,
  repetitionLastN: 64,
  frequencyPenalty: 0,
  presencePenalty: 0,
  typicalP: 1,
  topNSigma: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  dynamicTemperatureRange: 0,
  dynamicTemperatureExponent: 1,
  mirostat: false,
  mirostatTau: 5,
  mirostatEta: 0.1,
  dryMultiplier: 0,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryLastN: -1,
  dryBreakers: [],
  samplers: defaultOrder,
  logitBias: new Map(),
};

/** Checks of all sampling options, for functions that take them among others (see `checkOptions`). */
export const samplingChecks = {
  temperature: number({ min: 0, max: 100 }),
  topK: integer({ min: 0 }),
  topP: above0(number({ max: 1 })),
  minP: number({ min: 0, max: 1 }),
  repetitionPenalty: above0(number({ max: 100 })),
  repetitionLastN: integer({ min: -1 }),
  frequencyPenalty: number({ min: -100, max: 100 }),
  presencePenalty: number({ min: -100, max: 100 }),
  typicalP: above0(number({ max: 1 })),
  topNSigma: number({ min: 0, max: 1e6 }),
  xtcProbability: number({ min: 0, max: 1 }),
  xtcThreshold: number({ min: 0, max: 1 }),
  dynamicTemperatureRange: number({ min: 0, max: 100 }),
  dynamicTemperatureExponent: above0(number({ max: 100 })),
  mirostat: boolean(),
  mirostatTau: above0(number({ max: 100 })),
  mirostatEta: above0(number({ max: 1 })),
  dryMultiplier: number({ min: 0, max: 100 }),
  dryBase: number({ min: 1, max: 100 }),
  dryAllowedLength: integer({ min: 1 }),
  dryLastN: integer({ min: -1 }),
  dryBreakers: listOf(integer({ min: 0 })),
  samplers: orderCheck,
  logitBias: biasCheck,
  seed: integer({ min: 0 }),
};

/**
 * Checks options and fills in defaults.
 *
 * @param defaults defaults of the model (its generation_config), which go before `samplingDefaults`
 * @throws InvalidOptionError
 */
export function resolveSamplingOptions(
  options: SamplingOptions | undefined,
  defaults: Partial<ResolvedSamplingOptions> = {},
): ResolvedSamplingOptions {
  return { ...samplingDefaults, ...defaults, ...checkOptions("sampling", options, samplingChecks) };
}

function orderCheck(name: string, value: unknown): readonly SamplerName[] {
  const order = listOf(choice(samplerNames))(name, value);
  const twice = order.find((each, i) => order.indexOf(each) !== i);
  if (twice === undefined) return order;
  throw new InvalidOptionError(`${name} has "${twice}" twice; a sampler stands once in the order.`);
}

function above0(check: Check<number>): Check<number> {
  return (name, value) => {
    const checked = check(name, value);
    if (checked > 0) return checked;
    throw new InvalidOptionError(`${name} must be above 0, not ${describe(value)}.`);
  };
}

function biasCheck(name: string, value: unknown): ReadonlyMap<number, number> {
  const expected = `${name} must be an object or Map from token ids to numbers from -100 to 100 (or -Infinity)`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidOptionError(`${expected}, not ${describe(value)}.`);
  }
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value.entries() : Object.entries(value);
  const biases = new Map<number, number>();
  for (const [key, bias] of entries) {
    const id = typeof key === "string" && /^\d+$/.test(key) ? Number(key) : key;
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) {
      throw new InvalidOptionError(`${expected}; ${describe(key)} is no token id.`);
    }
    if (typeof bias !== "number" || !(bias === -Infinity || (bias >= -100 && bias <= 100))) {
      throw new InvalidOptionError(`${expected}; the value for ${id} is ${describe(bias)}.`);
    }
    biases.set(id, bias);
  }
  return biases;
}
