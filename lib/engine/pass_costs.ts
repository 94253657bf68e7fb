/** How much of a new measurement goes into what is known of passes of its size, once there are several. */
const WEIGHT = 0.25;
/** What each further token is taken to cost before other sizes were measured, as a share of a pass with one token. */
const FIRST_SLOPE = 0.4;
/** How many tokens, squared, it takes to move that by half. */
const FIRST_TRUST = 16;
/** Measurements of a size for which the other sizes count as much as itself. */
const OTHERS_TRUST = 2;
/** Passes after which a size that was not seen again is as good as unknown: one slow pass shall not stand for ever. */
const FORGOTTEN = 512;

/** What passes cost as if every further token cost the same. */
interface Line {
  /** What a further token costs, in passes of one. */
  readonly slope: number;
  /** Passes of one token in a microsecond. */
  readonly scale: number;
}

/**
 * What passes of few tokens took, by their number of tokens: it decides how many guesses are worth computing, and depends
 * on the machine, the model and what else runs. Single measurements may be far off, so each size is judged by the others as
 * well, as if every further token cost the same.
 */
export class PassCosts {
  /** Microseconds by tokens. */
  private readonly mean: Float64Array;
  /** Measurements of each size, up to 1 / WEIGHT; 0: the mean says nothing. */
  private readonly counts: Float64Array;
  /** When a size was last seen, by the number of passes; 0: never. */
  private readonly seen: Float64Array;
  private passes = 0;
  /** What all sizes say together; undefined: they changed since it was worked out. */
  private line: Line | undefined;

  /** @param most tokens of the largest pass that is of interest */
  constructor(most: number) {
    this.mean = new Float64Array(most + 1);
    this.counts = new Float64Array(most + 1);
    this.seen = new Float64Array(most + 1);
  }

  /** Notes a pass without prompts; larger ones than asked for and those without a time are left out. */
  note(tokens: number, microseconds: number): void {
    const { mean, counts, seen } = this;
    if (!(tokens < mean.length && microseconds > 0)) return;
    this.line = undefined;
    const isFirst = seen[tokens] === 0;
    seen[tokens] = ++this.passes;
    if (this.passes % FORGOTTEN === 0) this.forget();
    // The first of a size finds its code and memory cold.
    if (isFirst) return;
    // What takes longer than its tokens one by one was held up by something else.
    const one = counts[1] ? (mean[1] ?? 0) : Infinity;
    const taken = Math.min(microseconds, tokens === 1 ? Infinity : tokens * one);
    const count = (counts[tokens] ?? 0) + 1;
    counts[tokens] = Math.min(count, 1 / WEIGHT);
    mean[tokens] = (mean[tokens] ?? 0) + (taken - (mean[tokens] ?? 0)) * Math.max(1 / count, WEIGHT);
  }

  /** What a pass of `more` tokens costs beside one of `tokens`; at least 1. */
  ratio(tokens: number, more: number): number {
    this.line ??= this.fit();
    return Math.max(1, this.estimate(more, this.line) / this.estimate(tokens, this.line));
  }

  private forget(): void {
    for (let i = 0; i < this.counts.length; i++) {
      if ((this.seen[i] ?? 0) <= this.passes - FORGOTTEN) this.counts[i] = 0;
    }
  }

  /** In passes of one token. */
  private estimate(tokens: number, { slope, scale }: Line): number {
    const count = this.counts[tokens] ?? 0;
    const line = 1 + slope * (tokens - 1);
    if (count === 0) return line;
    return (count * (this.mean[tokens] ?? 0) * scale + OTHERS_TRUST * line) / (count + OTHERS_TRUST);
  }

  /** Least squares, with a beginning of its own; the smallest size that was measured gives the scale. */
  private fit(): Line {
    const { mean, counts } = this;
    const smallest = counts.findIndex((count) => count > 0);
    if (smallest < 0) return { slope: FIRST_SLOPE, scale: 1 };
    const scale = (1 + FIRST_SLOPE * (smallest - 1)) / (mean[smallest] ?? 1);
    let above = FIRST_TRUST * FIRST_SLOPE;
    let below = FIRST_TRUST;
    for (let tokens = 2; tokens < mean.length; tokens++) {
      const weight = (counts[tokens] ?? 0) * (tokens - 1);
      above += weight * ((mean[tokens] ?? 0) * scale - 1);
      below += weight * (tokens - 1);
    }
    return { slope: Math.max(0, above / below), scale };
  }
}
