import { InvalidOptionError } from "../errors";
import { certain, type Distribution, distributionOf } from "./distribution";
import { type Drawn, draw } from "./draw";
import { greatest, weigh } from "./full";
import { allowedIds, FEW_LISTED, filterRanked, isAllowed, MOST_LISTED, rank, type TokenMask } from "./mask";
import { mergeRanked } from "./merge";
import type { ResolvedSamplingOptions } from "./options";
import { LogitChanges } from "./penalties";
import { type Candidates, type Everything, type Mass, Pool } from "./pool";
import { Random, randomSeed } from "./random";
import { type Ranked, selectTop } from "./select_top";
import type { Stage } from "./stage";
import { makeStages } from "./stages";

/** What the engine must deliver for the next token. */
export interface Requirements {
  /** Number of candidates, 1 to 4096. */
  candidates: number;
  /** Whether a decision may depend on `logSumExp`: greedy choice and chains that begin with top-k do without. */
  logSumExp: boolean;
  /** Temperature of `logSumExp`. */
  temperature: number;
  /** Ids whose logits are wanted whether they are among the candidates or not; rising. */
  extraIds: Int32Array;
  /** The tokens that the candidates shall be among, as `TokenMask` has them; candidates that are not do no harm. */
  mask?: Int32Array;
  /** Candidates will hardly ever do: ask for all logits at once, and give them to `sampleAll`. */
  needsAllLogits: boolean;
  /**
   * They did not do for the last token, though the chain needs no `logSumExp`: asking for all logits at once spares the
   * engine a second look. The choice is the same, but what is reported beside it may differ in its last digits.
   */
  expectsAllLogits: boolean;
}

/** A chosen token. */
export interface Sampled {
  token: number;
  /** Its probability in the distribution that it was drawn from, after all samplers; 1 for the greedy choice. */
  probability: number;
  /** What it was drawn from. */
  from: Distribution;
}

/** The candidates do not decide: call `sampleAll` with all logits. */
export interface NeedAll {
  needAll: true;
}

/**
 * How far the engine's `logSumExp` may be off: rounding to single precision, plus summation. A decision that depends on
 * less is left to `sampleAll`.
 */
function logSumExpTolerance(value: number): number {
  return 1e-5 + Math.abs(value) * 2 ** -23;
}

const MOST_CANDIDATES = 4096;

/** Where all logits are given, at least as many are ranked. */
const FEWEST_RANKED = 1024;

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
  /** The same for stages that draw one of their own. */
  private stageUnit: number | undefined;
  private mask: TokenMask | undefined;
  /** How far down the ranking the last token of `sampleAll` had to look; 0 where candidates would have done. */
  private reached = 0;
  /** What `requirements` gives where neither penalties nor a mask nor the last token have a say. */
  private constant: Requirements | undefined;
  /** Room for `guess`, with the steps behind top-k. */
  private readonly guessed: Float64Array | undefined;

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
    this.stages = from ? from.stages.map((stage) => stage.clone?.() ?? stage) : makeStages(options);
    this.changes = new LogitChanges(options, from?.changes);
    this.seed = from?.seed ?? options.seed ?? randomSeed();
    this.random = from?.random.clone() ?? new Random(this.seed);
    this.unit = from?.unit;
    this.stageUnit = from?.stageUnit;
    this.mask = from?.mask;
    this.reached = from?.reached ?? 0;
    if (this.changes.none) this.guessed = guessOf(this.stages, this.greedy);
  }

  /**
   * Whether what a token needs (`requirements`) depends on those before it. Where it does not, several positions may be
   * asked for at a time.
   */
  get dependsOnHistory(): boolean {
    return this.changes.dependsOnHistory || this.mask !== undefined;
  }

  /** Allows some tokens only, until the next call. To be called before `requirements`. */
  allowOnly(mask: TokenMask | undefined): void {
    this.mask = mask;
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
    const { constant } = this;
    if (constant && !this.mask && this.reached === 0) return constant;
    const needs = this.currentRequirements();
    if (this.changes.none && !this.mask && this.reached === 0) this.constant = needs;
    return needs;
  }

  private currentRequirements(): Requirements {
    const changed = this.changes.ids();
    const at = this.massTemperature();
    const sum = { logSumExp: at !== undefined, temperature: at ?? 1 };
    const { mask } = this;
    const masked = mask ? { mask: mask.words } : {};
    if (mask && this.isListed(mask)) {
      const extraIds = allowedIds(mask);
      const needs = { needsAllLogits: false, expectsAllLogits: false };
      return { ...sum, ...masked, logSumExp: false, candidates: 1, extraIds, ...needs };
    }
    // A changed token may leave the front, so as many more are needed to be sure of the rest.
    const spare = Math.min(changed.length, 256);
    const candidates = Math.min(this.frontSize() + spare, MOST_CANDIDATES, mask?.count ?? this.vocabularySize);
    const expectsAllLogits = at === undefined && this.reached > 0;
    return { ...sum, ...masked, candidates, extraIds: changed, needsAllLogits: this.needsAll(), expectsAllLogits };
  }

  /**
   * What the next choice depends on besides the candidates, as `ForwardBatch.guess` has it; undefined where it is more than
   * that says. Valid until `accept`.
   */
  guess(): Float64Array | undefined {
    const { guessed } = this;
    if (!guessed || this.mask) return undefined;
    guessed[0] = this.greedy ? 0 : (this.unit ??= this.random.nextUnit());
    return guessed;
  }

  /** Chooses from candidates that meet `requirements`. */
  sample(candidates: Candidates): Sampled | NeedAll {
    const { ids, logits, logSumExp, extraLogits } = candidates;
    const { mask } = this;
    if (mask && this.isListed(mask)) return this.sampleListed(allowedIds(mask), extraLogits) ?? { needAll: true };
    const at = this.massTemperature();
    const changedIds = this.changes.ids();
    const changed = new Float32Array(changedIds.length);
    for (let i = 0; i < changed.length; i++) changed[i] = this.changes.apply(changedIds[i]!, extraLogits[i]!);
    const known = mask ? filterRanked(candidates, mask).ids : ids;
    const complete = known.length >= (mask?.count ?? this.vocabularySize);
    let ranked = mergeRanked(candidates, changedIds, changed, complete);
    if (mask) ranked = filterRanked(ranked, mask);
    if (ranked.ids.length === 0 || ranked.logits[0] === -Infinity) return { needAll: true };
    const top = ranked.logits[0]!;
    const total = (now: number): Mass | undefined => {
      if (now !== at || mask || Number.isNaN(logSumExp)) return undefined;
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
    return this.choose(new Pool(ranked.ids, ranked.logits, ranked.ids.length, floor, total)) ?? { needAll: true };
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
    const { mask } = this;
    if (mask && this.isListed(mask)) {
      const ids = allowedIds(mask);
      const listed = this.sampleListed(
        ids,
        Float32Array.from(ids, (id) => original[id]!),
      );
      if (listed) return listed;
      throw new InvalidOptionError("logitBias forbids every token that the text's form allows");
    }
    const changed = this.changes.ids();
    const logits = changed.length > 0 || mask ? original.slice() : original;
    for (const id of changed) logits[id] = this.changes.apply(id, logits[id]!);
    if (mask) for (let id = 0; id < logits.length; id++) if (!isAllowed(mask, id)) logits[id] = -Infinity;
    const top = greatest(logits);
    if (top === -Infinity) throw new InvalidOptionError("logitBias forbids every token of the vocabulary");
    const weighed = new Map<number, ReturnType<typeof weigh>>();
    const everything: Everything = {
      logits,
      weigh(at) {
        let known = weighed.get(at);
        if (!known) weighed.set(at, (known = weigh(logits, top, at)));
        return known;
      },
    };
    const total = (at: number): Mass => {
      const { mass } = everything.weigh(at);
      return { low: mass, high: mass };
    };
    // About as many as the last token needed: how many are ranked decides nothing.
    let count = this.needsRanking() ? logits.length : Math.max(2 * this.reached, FEWEST_RANKED);
    for (; ; count *= 16) {
      const ranked = selectTop(logits, count);
      const all = ranked.ids.length === logits.length;
      const floor = all ? undefined : ranked.logits.at(-1)!;
      const pool = new Pool(ranked.ids, ranked.logits, ranked.ids.length, floor, total, everything);
      const sampled = this.choose(pool);
      if (sampled) return sampled;
    }
  }

  /** Chooses among a few tokens, which are all that there are. */
  private sampleListed(ids: Int32Array, original: Float32Array): Sampled | undefined {
    const isChanged = new Set(this.changes.ids());
    const logits = original.map((logit, i) => (isChanged.has(ids[i]!) ? this.changes.apply(ids[i]!, logit) : logit));
    const ranked: Ranked = rank(ids, logits);
    if (!(ranked.logits[0]! > -Infinity)) return undefined;
    const pool = new Pool(ranked.ids, ranked.logits, ranked.ids.length, undefined, () => undefined);
    pool.keep(pool.length);
    const sampled = this.choose(pool);
    this.reached = 0;
    return sampled;
  }

  /** Whether the logits of all tokens that a mask allows are asked for. */
  private isListed({ count }: TokenMask): boolean {
    const frontSuffices = this.greedy || this.stages[0]?.name === "topK";
    return count <= (frontSuffices ? FEW_LISTED : MOST_LISTED);
  }

  /** How many tokens decide where the model is not quite unsure. */
  private frontSize(): number {
    if (this.greedy) return 1;
    return this.stages[0]?.name === "topK" ? this.options.topK : 256;
  }

  private get greedy(): boolean {
    return this.options.temperature === 0;
  }

  private choose(pool: Pool): Sampled | undefined {
    if (this.greedy) return { token: pool.ids[0]!, probability: 1, from: certain(pool.ids[0]!) };
    this.unit ??= this.random.nextUnit();
    // A stage that draws a number of its own takes it behind the choice's, whether it comes to need it or not.
    const unit = (): number => (this.stageUnit ??= this.random.nextUnit());
    for (const stage of this.stages) if (!stage.apply(pool, unit)) return undefined;
    const drawn: Drawn | undefined = draw(pool, this.unit);
    if (!drawn) return undefined;
    this.unit = undefined;
    this.stageUnit = undefined;
    const reached = pool.open ? drawn.index + 1 : pool.length;
    this.reached = reached > this.frontSize() ? reached : 0;
    for (const stage of this.stages) stage.drawn?.(drawn.probability);
    const from = distributionOf(pool, (token, logit) => this.changed(token, logit));
    return { token: pool.ids[drawn.index]!, probability: drawn.probability, from };
  }

  /** A token's logit after penalties, bias and mask. */
  private changed(token: number, logit: number): number {
    if (this.mask && !isAllowed(this.mask, token)) return -Infinity;
    return this.changes.ids().includes(token) ? this.changes.apply(token, logit) : logit;
  }

  /** The temperature at which the mass of the whole vocabulary will be asked for, undefined if it will not be. */
  private massTemperature(): number | undefined {
    if (this.greedy) return undefined;
    let at = 1;
    for (const stage of this.stages) {
      if (stage.needs === "mass") return at;
      // Behind a closing stage the pool's mass is a sum over what it lists.
      if (stage.closes || stage.needs === "all" || stage.needs === "ranking") return undefined;
      at *= stage.temperature ?? 1;
    }
    return at;
  }

  /** Whether a stage needs to see every logit before another has closed the pool. */
  private needsAll(): boolean {
    for (const stage of this.stages) {
      if (stage.needs === "all" || stage.needs === "ranking") return true;
      if (stage.closes) return false;
    }
    return false;
  }

  /** Whether a stage needs to have every token listed before another has closed the pool. */
  private needsRanking(): boolean {
    for (const stage of this.stages) {
      if (stage.needs === "ranking") return true;
      if (stage.closes) return false;
    }
    return false;
  }
}

/** Where the candidates alone decide and the engine knows each step: room for a random number, and the steps. */
function guessOf(stages: readonly Stage[], greedy: boolean): Float64Array | undefined {
  if (greedy) return new Float64Array(1);
  const [first, ...rest] = stages;
  if (first?.name !== "topK") return undefined;
  const steps = rest.map(({ guess }) => guess).filter((guess) => guess !== undefined);
  return steps.length === rest.length ? Float64Array.from([0, ...steps.flat()]) : undefined;
}
