import type { Penalty } from "./penalty";

/**
 * The repetition penalty (Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation",
 * 2019): of tokens that were there already, prompt included, divides positive logits by `strength` and multiplies negative
 * ones with it, however often they came.
 */
export class RepetitionPenalty implements Penalty {
  /** The tokens that count, oldest first, from `start` on; empty where all count. */
  private readonly recent: number[];
  private start = 0;
  /** How often each is among them. */
  private readonly counts: Map<number, number>;

  /** @param lastN tokens that are looked back; -1 is everything */
  constructor(
    private readonly strength: number,
    private readonly lastN: number,
    from?: RepetitionPenalty,
  ) {
    this.recent = from ? from.recent.slice(from.start) : [];
    this.counts = new Map(from?.counts);
  }

  accept(id: number): void {
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
    if (this.lastN < 0) return;
    this.recent.push(id);
    if (this.recent.length - this.start > this.lastN) this.forgetOldest();
  }

  ids(): Iterable<number> {
    return this.counts.keys();
  }

  apply(id: number, logit: number): number {
    if (!this.counts.has(id)) return logit;
    return logit > 0 ? logit / this.strength : logit * this.strength;
  }

  clone(): RepetitionPenalty {
    return new RepetitionPenalty(this.strength, this.lastN, this);
  }

  private forgetOldest(): void {
    const oldest = this.recent[this.start++]!;
    const left = this.counts.get(oldest)! - 1;
    if (left === 0) this.counts.delete(oldest);
    else this.counts.set(oldest, left);
    // Now and then, so that the array does not grow with the text.
    if (this.start < 1024) return;
    this.recent.splice(0, this.start);
    this.start = 0;
  }
}
