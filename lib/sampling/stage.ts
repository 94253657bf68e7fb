import type { Pool } from "./pool";

/** One step of the chain from all tokens to the few that one is drawn from. */
export interface Stage {
  /** The name of its option. */
  readonly name: string;
  /** What it needs to know of the tokens that the pool does not list. */
  readonly needs: "nothing" | "mass" | "floor";
  /** What it divides the logits by; absent: 1. */
  readonly temperature?: number;
  /** Narrows the pool. False when the answer depends on tokens that an open pool does not list. */
  apply(pool: Pool): boolean;
}
