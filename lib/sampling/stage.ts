import type { Pool } from "./pool";

/** One step of the chain from all tokens to the few that one is drawn from. */
export interface Stage {
  /** The name of its option. */
  readonly name: string;
  /**
   * What it needs to know of the tokens that the pool does not list: "all" is the logit of every one, for "ranking" the pool
   * must list them.
   */
  readonly needs: "nothing" | "mass" | "floor" | "all" | "ranking";
  /** Whether nothing unlisted is left behind it. */
  readonly closes: boolean;
  /** What it divides the logits by; absent: 1, or (where `needs` is "ranking") not known beforehand. */
  readonly temperature?: number;
  /** Its number among the steps of `ForwardBatch.guess`, and its value; absent: the engine cannot guess past it. */
  readonly guess?: readonly [step: number, value: number];
  /**
   * Narrows the pool. False when the answer depends on tokens that an open pool does not list.
   *
   * @param unit a random number in [0, 1) for stages that draw one; the same for every attempt at a token
   */
  apply(pool: Pool, unit: () => number): boolean;
  /** Notes the probability of the token that was drawn, for stages that learn from it. */
  drawn?(probability: number): void;
  /** A stage in the same state; absent where there is none. */
  clone?(): Stage;
}
