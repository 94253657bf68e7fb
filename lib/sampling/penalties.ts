import { DryHistory } from "./dry";
import type { ResolvedSamplingOptions } from "./options";

/**
 * Changes to the logits of single tokens, and the history they depend on. In this order: repetition penalty, frequency
 * and presence penalties, DRY, bias; the bias has the last word, as in OpenAI's interface.
 */
export class LogitChanges {
  /** Tokens the repetition penalty sees, oldest first, and how often each is among them. */
  private readonly recent: number[];
  private start = 0;
  private readonly recentCounts: Map<number, number>;
  /** How often each token was generated. */
  private readonly generated: Map<number, number>;
  private readonly dry: DryHistory;
  /** What DRY takes now, until the next `accept`. */
  private repeated: Map<number, number> | undefined;
  /** What `ids` answers, until the next `accept`. */
  private current: Int32Array | undefined;

  constructor(
    private readonly options: ResolvedSamplingOptions,
    from?: LogitChanges,
  ) {
    this.recent = from ? from.recent.slice(from.start) : [];
    this.recentCounts = new Map(from?.recentCounts);
    this.generated = new Map(from?.generated);
    this.dry = new DryHistory(options, from?.dry);
  }

  /** Notes a token of the prompt or, with `isGenerated`, of the answer. */
  accept(id: number, isGenerated: boolean): void {
    this.current = undefined;
    this.repeated = undefined;
    this.dry.accept(id);
    const { repetitionLastN, repetitionPenalty, frequencyPenalty, presencePenalty } = this.options;
    if (repetitionPenalty !== 1 && repetitionLastN !== 0) {
      this.recentCounts.set(id, (this.recentCounts.get(id) ?? 0) + 1);
      if (repetitionLastN > 0) {
        this.recent.push(id);
        if (this.recent.length - this.start > repetitionLastN) this.forgetOldest();
      }
    }
    if (isGenerated && (frequencyPenalty !== 0 || presencePenalty !== 0)) {
      this.generated.set(id, (this.generated.get(id) ?? 0) + 1);
    }
  }

  /** The ids whose logits are changed now, rising. */
  ids(): Int32Array {
    this.current ??= Int32Array.from(
      new Set([
        ...this.recentCounts.keys(),
        ...this.generated.keys(),
        ...this.dryPenalties().keys(),
        ...this.options.logitBias.keys(),
      ]),
    ).sort();
    return this.current;
  }

  /** Whether the changes depend on what was generated. */
  get dependsOnHistory(): boolean {
    const { repetitionPenalty, repetitionLastN, frequencyPenalty, presencePenalty, dryMultiplier } = this.options;
    const repetition = repetitionPenalty !== 1 && repetitionLastN !== 0;
    return repetition || frequencyPenalty !== 0 || presencePenalty !== 0 || dryMultiplier !== 0;
  }

  /** The changed logit, rounded to single precision like the logits themselves. */
  apply(id: number, logit: number): number {
    const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias } = this.options;
    let changed = logit;
    if (this.recentCounts.has(id)) changed = changed > 0 ? changed / repetitionPenalty : changed * repetitionPenalty;
    const count = this.generated.get(id);
    if (count !== undefined) changed -= count * frequencyPenalty + presencePenalty;
    changed -= this.dryPenalties().get(id) ?? 0;
    return Math.fround(changed + (logitBias.get(id) ?? 0));
  }

  private dryPenalties(): Map<number, number> {
    return (this.repeated ??= this.dry.penalties());
  }

  private forgetOldest(): void {
    const oldest = this.recent[this.start++]!;
    const left = this.recentCounts.get(oldest)! - 1;
    if (left === 0) this.recentCounts.delete(oldest);
    else this.recentCounts.set(oldest, left);
    // Now and then, so that the array does not grow with the text.
    if (this.start >= 1024) {
      this.recent.splice(0, this.start);
      this.start = 0;
    }
  }
}
