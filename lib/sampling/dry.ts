/** Settings of `DryHistory`. */
export interface DryOptions {
  /** Greatest penalty factor; 0 is off. */
  dryMultiplier: number;
  /** The penalty grows by this factor with each further repeated token. */
  dryBase: number;
  /** Repetitions of up to this many tokens cost nothing. */
  dryAllowedLength: number;
  /** Tokens that are looked back; -1 is everything. */
  dryLastN: number;
  /** Tokens that no repetition reaches across. */
  dryBreakers: readonly number[];
}

/** Longer matches cost no more: the penalty is far beyond any logit by then. */
const LONGEST_MATCH = 50;

/**
 * DRY, "Don't repeat yourself" (p-e-w, text-generation-webui pull request 5677, 2024): a token that would lengthen a
 * repetition of `n` tokens, n at least the allowed length, loses multiplier * base ^ (n - allowed length).
 */
export class DryHistory {
  private readonly tokens: number[];
  private readonly breakers: ReadonlySet<number>;

  constructor(
    private readonly options: DryOptions,
    from?: DryHistory,
  ) {
    this.tokens = from ? [...from.tokens] : [];
    this.breakers = from?.breakers ?? new Set(options.dryBreakers);
  }

  accept(id: number): void {
    const { dryMultiplier, dryLastN } = this.options;
    if (dryMultiplier === 0 || dryLastN === 0) return;
    this.tokens.push(id);
    if (dryLastN > 0 && this.tokens.length > 2 * dryLastN + 64) this.tokens.splice(0, this.tokens.length - dryLastN);
  }

  /** What is taken from the logits of tokens now. */
  penalties(): Map<number, number> {
    const { dryMultiplier, dryBase, dryAllowedLength, dryLastN } = this.options;
    const penalties = new Map<number, number>();
    const all = this.tokens;
    const first = dryLastN > 0 ? Math.max(all.length - dryLastN, 0) : 0;
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
      if (length < dryAllowedLength || length === 0) continue;
      const next = all[end + 1]!;
      const penalty = dryMultiplier * dryBase ** (length - dryAllowedLength);
      if (penalty > (penalties.get(next) ?? 0)) penalties.set(next, penalty);
    }
    return penalties;
  }
}
