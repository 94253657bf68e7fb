import type { Penalty } from "./penalty";

/** Settings of `Dry`. */
export interface DryOptions {
  /** What a repetition of the allowed length costs. */
  dryMultiplier: number;
  /** The penalty grows by this factor with each further repeated token. */
  dryBase: number;
  /** Repetitions shorter than this many tokens cost nothing. */
  dryAllowedLength: number;
  /** Tokens that are looked back; -1 is everything. */
  dryLastN: number;
  /** Tokens that no repetition reaches across. */
  dryBreakers: readonly number[];
}

/** Longer matches cost no more: the penalty is far beyond any logit by then. */
const LONGEST_MATCH = 50;

/**
 * DRY, "Don't repeat yourself" (p-e-w, "DRY: A modern repetition penalty that reliably prevents looping", pull request 5677
 * of text-generation-webui, 2024; there is no paper): a token that would lengthen a repetition of `n` tokens, n at least the
 * allowed length, loses multiplier * base ^ (n - allowed length).
 */
export class Dry implements Penalty {
  private readonly tokens: number[];
  private readonly breakers: ReadonlySet<number>;
  /** What is taken now, until the next `accept`. */
  private current: Map<number, number> | undefined;

  constructor(
    private readonly options: DryOptions,
    from?: Dry,
  ) {
    this.tokens = from ? [...from.tokens] : [];
    this.breakers = from?.breakers ?? new Set(options.dryBreakers);
  }

  accept(id: number): void {
    const { dryLastN } = this.options;
    this.current = undefined;
    this.tokens.push(id);
    if (dryLastN >= 0 && this.tokens.length > 2 * dryLastN + 64) this.tokens.splice(0, this.tokens.length - dryLastN);
  }

  ids(): Iterable<number> {
    return this.penalties().keys();
  }

  apply(id: number, logit: number): number {
    return logit - (this.penalties().get(id) ?? 0);
  }

  clone(): Dry {
    return new Dry(this.options, this);
  }

  /** What is taken from the logits of tokens now. */
  private penalties(): Map<number, number> {
    return (this.current ??= this.find());
  }

  private find(): Map<number, number> {
    const { dryMultiplier, dryBase, dryAllowedLength, dryLastN } = this.options;
    const penalties = new Map<number, number>();
    const all = this.tokens;
    const first = dryLastN >= 0 ? Math.max(all.length - dryLastN, 0) : 0;
    const last = all.length - 1;
    if (last < first || this.breakers.has(all[last]!)) return penalties;
    for (let end = last - 1; end >= first; end--) {
      let length = 0;
      while (
        length < LONGEST_MATCH &&
        end - length >= first &&
        all[end - length] === all[last - length] &&
        !this.breakers.has(all[last - length]!)
      ) {
        length++;
      }
      if (length < dryAllowedLength) continue;
      const next = all[end + 1]!;
      const penalty = dryMultiplier * dryBase ** (length - dryAllowedLength);
      if (penalty > (penalties.get(next) ?? 0)) penalties.set(next, penalty);
    }
    return penalties;
  }
}
