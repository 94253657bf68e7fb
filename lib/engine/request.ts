import type { Sequence } from "./sequence";

/** What is wanted of one position. */
export interface Query {
  /** 1: candidates and what else this object names; 2: all logits; 3: the hidden state. */
  readonly want: 1 | 2 | 3;
  /** How many candidates; 1 to 4096. */
  readonly candidates: number;
  /** Whether `logSumExp` is wanted; without it a large head is much faster. Default true. */
  readonly logSumExp?: boolean;
  /** Temperature of `logSumExp`; 1 for greedy. */
  readonly temperature: number;
  /** Ids whose logits are wanted besides the candidates. */
  readonly extraIds?: Int32Array;
  /** The tokens that may be candidates: of token i bit i % 32 of word i / 32. Absent: any. */
  readonly mask?: Int32Array;
}

/** What tells the engine which token will probably follow, so that it begins its pass before it is asked to. */
export interface Guess {
  /** As `ForwardBatch.guess` has it. */
  readonly samplers: Float64Array;
  /** Tokens that nothing follows; rising. */
  readonly ends: Int32Array;
}

/** What came out at one position. The arrays are views into the step's results: copy what is kept. */
export interface Output {
  /** Ids by falling logit, as many as were asked for; empty when all logits were wanted. */
  readonly candidateIds: Int32Array;
  readonly candidateLogits: Float32Array;
  /** log(sum(exp(logit / temperature))) over the whole vocabulary; NaN when it was not wanted or all logits were. */
  readonly logSumExp: number;
  /** Logits of `Query.extraIds`. */
  readonly extraLogits: Float32Array;
  /** The last hidden state, after the output norm; empty unless it was wanted. */
  readonly hidden: Float32Array;
  /** All logits of the position, unless its hidden state was wanted. Only while `Request.receive` runs. */
  allLogits(): Float32Array;
}

/**
 * Work for the scheduler: compute a sequence from a prompt on, and hand out what the query asks for at every position
 * from `firstOutput` on. The work ends when `receive` says so.
 */
export interface Request {
  readonly sequence: Sequence;
  /** What the sequence's tokens shall be when work begins; what the cache already has of them is kept. */
  readonly prompt: ArrayLike<number>;
  /** The first position of the prompt whose output is wanted; the positions before it may come from the cache. */
  readonly firstOutput: number;
  /** False while the reader is behind: it keeps its place, but takes no part in steps. Call `Scheduler.wake` when true. */
  readonly ready: boolean;
  /** Requests of higher priority are served first. Default 0. */
  readonly priority?: number;
  /** Work begins now; `cachedTokens` of the prompt need no computing. */
  begin(cachedTokens: number): void;
  query(position: number): Query;
  /**
   * Guesses of up to `most` tokens that will follow; they are computed along with the last one. `receive` is called for
   * as many positions as turned out right, and one more. Absent: none.
   * @param cost what a step with so many guesses costs beside one without
   */
  drafts?(most: number, cost: (drafts: number) => number): readonly number[];
  /**
   * Asked behind `query` for a position behind which one token more will be wanted, if the text does not end there. The next
   * query must be the same then. Absent, or undefined: nothing is to be begun ahead.
   */
  ahead?(): Guess | undefined;
  /** How many of the drafts were right. */
  drafted?(accepted: number, drafts: number): void;
  /**
   * The output of the next position; returns whether the work goes on. It goes on at the positions that are left, so
   * where there are none a token must have been appended to the sequence. Errors thrown here fail this request only.
   */
  receive(output: Output): boolean;
  /**
   * Asked after each output: tokens that the sequence shall have from here on in place of its own, for a text that goes on
   * with a part of its context. The next output is that of the last of them. Absent, or undefined: it goes on as it is.
   */
  replaced?(): readonly number[] | undefined;
  /** The work cannot go on. Called at most once, and never after the request was cancelled. */
  fail(error: Error): void;
}
