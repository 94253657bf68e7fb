/** A change to the logits of single tokens, before any is left out. */
export interface Penalty {
  /** Notes a token of the prompt or, with `isGenerated`, of the answer. Absent: it does not depend on them. */
  accept?(id: number, isGenerated: boolean): void;
  /** The ids whose logits are changed now, in any order. */
  ids(): Iterable<number>;
  /** The changed logit; of a token that is not among `ids`, the same. */
  apply(id: number, logit: number): number;
  /** One in the same state, which goes on independently. Absent where there is none. */
  clone?(): Penalty;
}
