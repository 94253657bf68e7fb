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

/** Where more weights are asked for than this, those of all tokens will be. */
const MANY = 4096;

/** All tokens that a pool stands for, by id. */
export interface Everything {
  logits: Float32Array;
  /** Their weights at a temperature, beside the greatest logit's of 1, and the sum of these. */
  weigh(temperature: number): { weights: Float64Array; mass: number };
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
  /** The mass after the first tokens were dropped from an open pool; it is known at one temperature only. */
  private left: (Mass & { at: number }) | undefined;
  /** Weights of the first `known` tokens at the temperature `knownAt`: each is asked for more than once. */
  private weights = new Float64Array(0);
  private known = 0;
  private knownAt = 1;
  private readonly greatest: number;

  /**
   * @param length number of listed tokens; those of the arrays behind it do not count
   * @param floor bound of the unlisted logits; undefined when there are none
   * @param total the sum of all weights at a temperature, unlisted tokens included; undefined when it is not known
   * @param everything all tokens that the pool stands for; absent: not known
   */
  constructor(
    public ids: Int32Array,
    public logits: Float32Array,
    public length: number,
    private floor: number | undefined,
    private readonly total: (temperature: number) => Mass | undefined,
    private readonly everything?: Everything,
  ) {
    this.greatest = logits[0]!;
  }

  get open(): boolean {
    return this.floor !== undefined;
  }

  /** Keeps the first `length` tokens and nothing else; from here on the mass is the sum over these. */
  keep(length: number): void {
    this.length = length;
    this.floor = undefined;
    this.cut = true;
  }

  /** Keeps the tokens from `start` on; the unlisted ones stay where they were. What is left must not be nothing. */
  drop(start: number, mass: Mass): void {
    const dropped = Array.from({ length: start }, (_, i) => this.weight(i));
    const first = this.logits[start]!;
    const scale = Math.exp((this.logits[0]! - first) / this.temperature);
    const gone = dropped.reduce((sum, weight) => sum + weight, 0);
    this.ids = this.ids.subarray(start);
    this.logits = this.logits.subarray(start);
    this.known = 0;
    this.length -= start;
    if (!this.open) this.cut = true;
    else this.left = { at: this.temperature, low: (mass.low - gone) * scale, high: (mass.high - gone) * scale };
  }

  /** Keeps the tokens at these places, which must rise, and nothing else. */
  select(places: ArrayLike<number>): void {
    const ids = new Int32Array(places.length);
    const logits = new Float32Array(places.length);
    for (let i = 0; i < places.length; i++) {
      ids[i] = this.ids[places[i]!]!;
      logits[i] = this.logits[places[i]!]!;
    }
    this.ids = ids;
    this.logits = logits;
    this.known = 0;
    this.keep(places.length);
  }

  /** The logits of all tokens in the pool, unlisted ones included; undefined when they are not known. */
  allLogits(): Float32Array | undefined {
    if (!this.open) return this.logits.subarray(0, this.length);
    return this.cut || this.left ? undefined : this.everything?.logits;
  }

  weight(index: number): number {
    if (index >= this.known || this.knownAt !== this.temperature) this.learnWeights(index);
    return this.weights[index]!;
  }

  /** The logarithm of the weight of a token with this logit. */
  logWeight(logit: number): number {
    return (logit - this.logits[0]!) / this.temperature;
  }

  /** The greatest weight an unlisted token can have; 0 when there are none. */
  floorWeight(): number {
    return this.floor === undefined ? 0 : Math.exp(this.logWeight(this.floor));
  }

  /** The sum of all weights; undefined when it is not known. */
  mass(): Mass | undefined {
    if (this.left && this.open) return this.left.at === this.temperature ? this.left : undefined;
    if (!this.cut) return this.total(this.temperature);
    let sum = 0;
    for (let i = 0; i < this.length; i++) sum += this.weight(i);
    return { low: sum, high: sum };
  }

  /** Notes the weights up to `index`, and some behind it. */
  private learnWeights(index: number): void {
    const { logits, ids, temperature } = this;
    if (this.knownAt !== temperature) this.known = 0;
    this.knownAt = temperature;
    const end = index < MANY ? Math.min(Math.max(index + 1, 2 * this.known, 64), logits.length) : logits.length;
    if (this.weights.length < end) {
      const longer = new Float64Array(end);
      longer.set(this.weights.subarray(0, this.known));
      this.weights = longer;
    }
    const { weights } = this;
    const first = logits[0]!;
    // The likeliest token's weight is 1 there, too, as long as it was not dropped.
    const all = index < MANY || first !== this.greatest ? undefined : this.everything?.weigh(temperature).weights;
    if (all) for (let i = this.known; i < end; i++) weights[i] = all[ids[i]!]!;
    else for (let i = this.known; i < end; i++) weights[i] = Math.exp((logits[i]! - first) / temperature);
    this.known = end;
  }
}
