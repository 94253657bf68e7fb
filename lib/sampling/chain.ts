import { InvalidOptionError } from "../errors";
import { type Drawn, draw } from "./draw";
import { greatest, logprobOf, massOf } from "./full";
import { mergeRanked } from "./merge";
import { minP } from "./min_p";
import type { ResolvedSamplingOptions } from "./options";
import { LogitChanges } from "./penalties";
import { type Candidates, type Mass, Pool } from "./pool";
import { Random, randomSeed } from "./random";
import { selectTop } from "./select_top";
import type { Stage } from "./stage";
import { temperature } from "./temperature";
import { topK } from "./top_k";
import { topP } from "./top_p";

/** What the engine must deliver for the next token. */
export interface Requirements {
  /** Number of candidates, 1 to 4096. */
  candidates: number;
  /** Temperature of `logSumExp`. */
  temperature: number;
  /** Ids whose logits are wanted whether they are among the candidates or not; rising. */
  extraIds: Int32Array;
  /** Candidates will hardly ever do: ask for all logits at once. */
  needsAllLogits: boolean;
}

/** A chosen token. */
export interface Sampled {
  token: number;
  /** Its probability in the distribution that it was drawn from, after all samplers; 1 for the greedy choice. */
  probability: number;
  /** Its log-probability under the model itself, before any sampler; absent when that is not known from candidates. */
  logprob?: number;
}

/** The candidates do not decide: call `sampleAll` with all logits. */
export interface NeedAll {
  needAll: true;
}

/** Order of the samplers after penalties and bias, which is llama.cpp's: top-p and min-p see the untempered model. */
export const defaultOrder = ["topK", "topP", "minP", "temperature"] as const;

/**
 * How far the engine's `logSumExp` may be off: rounding to single precision, plus summation. A decision that depends on
 * less is left to `sampleAll`.
 */
function logSumExpTolerance(value: number): number {
  return 1e-5 + Math.abs(value) * 2 ** -23;
}

const MOST_CANDIDATES = 4096;

/**
 * Chooses the tokens of one sequence. Candidates suffice for nearly every token; where they do not, `sample` says so
 * and `sampleAll` decides from all logits. Both choose the same token, so a text never depends on how many candidates
 * there were.
 *
 * A step is `requirements`, `sample`, perhaps `sampleAll`, then `accept` with the token that is really appended.
 */
export class SamplerChain {
  /** The seed in use, given or chosen. */
  readonly seed: number;
  private readonly stages: Stage[];
  private readonly changes: LogitChanges;
  private readonly random: Random;
  /** The step's random number: drawn once, also if `sampleAll` follows. */
  private unit: number | undefined;

  /**
   * @param vocabularySize number of logits, at most 2^21
   * @throws InvalidOptionError for a bias on an id that the vocabulary lacks
   */
  constructor(
    private readonly options: ResolvedSamplingOptions,
    private readonly vocabularySize: number,
    from?: SamplerChain,
  ) {
    for (const id of options.logitBias.keys()) {
      if (id < vocabularySize) continue;
      throw new InvalidOptionError(`logitBias has token id ${id}; the vocabulary ends at ${vocabularySize - 1}`);
    }
    this.stages = makeStages(options);
    this.changes = new LogitChanges(options, from?.changes);
    this.seed = from?.seed ?? options.seed ?? randomSeed();
    this.random = from?.random.clone() ?? new Random(this.seed);
    this.unit = from?.unit;
  }

  /** A chain in the same state, which goes on independently. */
  clone(): SamplerChain {
    return new SamplerChain(this.options, this.vocabularySize, this);
  }

  /** Notes the tokens of the prompt: the repetition penalty counts them, the other penalties do not. */
  acceptPrompt(tokens: Iterable<number>): void {
    for (const token of tokens) this.changes.accept(token, false);
  }

  /** Notes a token that was appended to the answer. */
  accept(token: number): void {
    this.changes.accept(token, true);
  }

  requirements(): Requirements {
    const extraIds = this.changes.ids();
    // A changed token may leave the front, so as many more are needed to be sure of the rest.
    const spare = Math.min(extraIds.length, 256);
    let wanted = 256;
    if (this.greedy) wanted = 1;
    else if (this.stages[0]?.name === "topK") wanted = this.options.topK;
    const candidates = Math.min(wanted + spare, MOST_CANDIDATES, this.vocabularySize);
    return { candidates, temperature: this.massTemperature(), extraIds, needsAllLogits: false };
  }

  /** Chooses from candidates that meet `requirements`. */
  sample(candidates: Candidates): Sampled | NeedAll {
    const { ids, logits, logSumExp, extraLogits } = candidates;
    const at = this.massTemperature();
    const changedIds = this.changes.ids();
    const changed = Float32Array.from(changedIds, (id, i) => this.changes.apply(id, extraLogits[i]!));
    const complete = ids.length >= this.vocabularySize;
    const ranked = mergeRanked(candidates, changedIds, changed, complete);
    if (ranked.ids.length === 0 || ranked.logits[0] === -Infinity) return { needAll: true };
    const top = ranked.logits[0]!;
    const total = (now: number): Mass | undefined => {
      if (now !== at) return undefined;
      const scaled = Math.exp(logSumExp - top / at);
      let mass = scaled;
      for (let i = 0; i < changed.length; i++) {
        mass += Math.exp((changed[i]! - top) / at) - Math.exp((extraLogits[i]! - top) / at);
      }
      const error = scaled * logSumExpTolerance(logSumExp);
      // Where a forbidden token had nearly all of the mass, what is left over is not known well enough to report.
      if (!(error < mass * 1e-4)) return undefined;
      return { low: mass - error, high: mass + error };
    };
    const floor = complete ? undefined : logits[logits.length - 1]!;
    const drawn = this.choose(new Pool(ranked.ids, ranked.logits, ranked.ids.length, floor, total));
    if (!drawn) return { needAll: true };
    const token = ranked.ids[drawn.index]!;
    this.unit = undefined;
    const sampled: Sampled = { token, probability: drawn.probability };
    if (at !== 1) return sampled;
    const place = changedIds.indexOf(token);
    sampled.logprob = (place >= 0 ? extraLogits[place]! : ranked.logits[drawn.index]!) - logSumExp;
    return sampled;
  }

  /**
   * Chooses from the logits of the whole vocabulary, with the random number of a `sample` that asked for it.
   *
   * @throws KernelError when a logit is not a number, InvalidOptionError when the options forbid every token
   */
  sampleAll(original: Float32Array): Sampled {
    if (original.length !== this.vocabularySize) {
      throw new InvalidOptionError(`sampleAll needs ${this.vocabularySize} logits, not ${original.length}`);
    }
    const logits = original.slice();
    for (const id of this.changes.ids()) logits[id] = this.changes.apply(id, logits[id]!);
    const top = greatest(logits);
    if (top === -Infinity) throw new InvalidOptionError("logitBias forbids every token of the vocabulary");
    const masses = new Map<number, Mass>();
    const total = (at: number): Mass => {
      let mass = masses.get(at);
      if (!mass) {
        const sum = massOf(logits, top, at);
        mass = { low: sum, high: sum };
        masses.set(at, mass);
      }
      return mass;
    };
    for (let count = 1024; ; count *= 16) {
      const ranked = selectTop(logits, count);
      const all = ranked.ids.length === logits.length;
      const floor = all ? undefined : ranked.logits.at(-1)!;
      const drawn = this.choose(new Pool(ranked.ids, ranked.logits, ranked.ids.length, floor, total));
      if (!drawn) continue;
      this.unit = undefined;
      const token = ranked.ids[drawn.index]!;
      return { token, probability: drawn.probability, logprob: logprobOf(original, token) };
    }
  }

  private get greedy(): boolean {
    return this.options.temperature === 0;
  }

  private choose(pool: Pool): Drawn | undefined {
    if (this.greedy) return { index: 0, probability: 1 };
    this.unit ??= this.random.nextUnit();
    for (const stage of this.stages) if (!stage.apply(pool)) return undefined;
    return draw(pool, this.unit);
  }

  /** The temperature at which the mass of the whole vocabulary will be asked for, 1 if it will not be. */
  private massTemperature(): number {
    if (this.greedy) return 1;
    let at = 1;
    for (const stage of this.stages) {
      if (stage.needs === "mass") return at;
      // Behind top-k and min-p the pool is closed and its mass a sum over what it lists.
      if (stage.temperature === undefined) return 1;
      at *= stage.temperature;
    }
    return at;
  }
}

/** The stages that the options ask for; those that would change nothing are left out. */
function makeStages(options: ResolvedSamplingOptions): Stage[] {
  const make: Record<(typeof defaultOrder)[number], () => Stage | undefined> = {
    topK: () => (options.topK > 0 ? topK(options.topK) : undefined),
    topP: () => (options.topP < 1 ? topP(options.topP) : undefined),
    minP: () => (options.minP > 0 ? minP(options.minP) : undefined),
    temperature: () => (options.temperature > 0 ? temperature(options.temperature) : undefined),
  };
  return defaultOrder.map((name) => make[name]()).filter((stage) => stage !== undefined);
}
