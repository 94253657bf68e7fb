import type { Penalty } from "./penalty";

/**
 * Frequency and presence penalties (OpenAI's API reference, "Frequency and presence penalties", 2020): of tokens that
 * were generated, takes `frequency` for each time and `presence` once. The prompt does not count.
 */
export class OccurrencePenalties implements Penalty {
  private readonly counts: Map<number, number>;

  constructor(
    private readonly frequency: number,
    private readonly presence: number,
    counts?: ReadonlyMap<number, number>,
  ) {
    this.counts = new Map(counts);
  }

  accept(id: number, isGenerated: boolean): void {
    if (isGenerated) this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
  }

  ids(): Iterable<number> {
    return this.counts.keys();
  }

  apply(id: number, logit: number): number {
    const count = this.counts.get(id);
    return count === undefined ? logit : logit - (count * this.frequency + this.presence);
  }

  clone(): OccurrencePenalties {
    return new OccurrencePenalties(this.frequency, this.presence, this.counts);
  }
}
