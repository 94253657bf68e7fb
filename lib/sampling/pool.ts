/** The candidates that the engine found for one output. */
export interface Candidates {
  /** Ids by falling logit; equal logits by rising id. */
  ids: Int32Array;
  logits: Float32Array;
  /** log(sum(exp(logit / temperature))) over the whole vocabulary, at the temperature that was required. */
  logSumExp: number;
  /** Logits of the required `extraIds`, in their order. */
  extraLogits: Float32Array;
}

/** A sum that is known only within bounds. */
export interface Mass {
  low: number;
  high: number;
}

/**
 * The tokens that may still be drawn, likeliest first (equal logits by rising id). A pool is open while there may be
 * more tokens than it lists: all of those come behind the listed ones and have logits of at most `floor`.
 *
 * Weights are exp((logit - first logit) / temperature), so the first token weighs 1; sums run in the pool's order in
 * double precision, so that equal pools give equal sums whatever they were made from. Until the pool is cut, `total`
 * knows its mass, listed or not.
 */
export class Pool {
  /** What the logits have been divided by so far. */
  temperature = 1;
  private cut = false;

  /**
   * @param length number of listed tokens; those of the arrays behind it do not count
   * @param floor bound of the unlisted logits; undefined when there are none
   * @param total the sum of all weights at a temperature, unlisted tokens included; undefined when it is not known
   */
  constructor(
    readonly ids: Int32Array,
    readonly logits: Float32Array,
    public length: number,
    private floor: number | undefined,
    private readonly total: (temperature: number) => Mass | undefined,
  ) {}

  get open(): boolean {
    return this.floor !== undefined;
  }

  /** Keeps the first `length` tokens and nothing else; from here on the mass is the sum over these. */
  keep(length: number): void {
    this.length = length;
    this.floor = undefined;
    this.cut = true;
  }

  weight(index: number): number {
    return this.weightOf(this.logits[index]!);
  }

  /** The greatest weight an unlisted token can have; 0 when there are none. */
  floorWeight(): number {
    return this.floor === undefined ? 0 : this.weightOf(this.floor);
  }

  /** The sum of all weights; undefined when it is not known. */
  mass(): Mass | undefined {
    if (!this.cut) return this.total(this.temperature);
    let sum = 0;
    for (let i = 0; i < this.length; i++) sum += this.weight(i);
    return { low: sum, high: sum };
  }

  private weightOf(logit: number): number {
    return Math.exp((logit - this.logits[0]!) / this.temperature);
  }
}
