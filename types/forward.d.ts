/** What a forward pass takes and gives: a part of the contract in addon.d.ts. */

/** What is wanted of a token: 0 nothing, 1 candidates, 2 all logits, 3 the final hidden state (after output norm). */
export type Want = 0 | 1 | 2 | 3;

export interface ForwardBatch {
  /** [n] token ids in 0..vocabularySize-1. */
  tokens: Int32Array;
  /** [n] sequence of each token; those of one are contiguous and in order, behind what the sequence holds. */
  sequences: Int32Array;
  /** [n] `Want` values. */
  want: Uint8Array;
  /** Candidates per output with want = 1; 1 to 4096, capped at vocabularySize. */
  candidates: number;
  /**
   * Whether `logSumExp` is wanted (default true). It takes every logit; without it the head may look for the candidates
   * in a 2-bit sketch first and compute the exact logits of the promising rows only. The candidates are the same.
   */
  logSumExp?: boolean;
  /** Per want = 1 output, in order: temperature T > 0 of `logSumExp` (1 for greedy). Absent: all 1. */
  temperatures?: Float32Array;
  /**
   * Per want = 1 output, ids whose logits are wanted besides the candidates (biased or penalised tokens): `extraIds` of
   * output i are those at extraOffsets[i] .. extraOffsets[i+1].
   */
  extraIds?: Int32Array;
  extraOffsets?: Int32Array;
  /**
   * Masks of tokens that may be candidates, one behind the other, each of ceil(vocabularySize / 32) words: of token i bit
   * i % 32 of word i / 32. `logSumExp` and extra logits do not depend on them.
   */
  masks?: Int32Array;
  /** Per want = 1 output: the number of its mask; -1: any token may be a candidate. Absent: so for all. */
  maskOf?: Int32Array;
  /**
   * For tokens of one sequence of which the last one's candidates are wanted, no masks and no `extraIds`: the engine guesses
   * which of the candidates will follow and begins its pass at once. A `forward` of that one token that wants the same takes
   * that pass over; any other one, and whatever else is done to the sequence, drops it. So a wrong guess costs time only. While it
   * runs, `lastLogits` is refused. The random number of the draw, in [0, 1), then pairs of a step and its value, in
   * order: 1 top-p, 2 min-p, 3 temperature.
   */
  guess?: Float64Array;
  /** Tokens behind which no pass is begun; rising. Default none. */
  guessEnds?: Int32Array;
}

export interface ForwardResult {
  /**
   * [outputs with want = 1, candidates] ids by falling logit; equal logits by rising id. -1 (with a logit of -Infinity) for
   * what a mask with fewer tokens lacks.
   */
  candidateIds: Int32Array;
  candidateLogits: Float32Array;
  /** [outputs with want = 1] log(sum(exp(logit / T))) over the whole vocabulary; empty where it was not wanted. */
  logSumExp: Float32Array;
  /** [extraIds.length] */
  extraLogits: Float32Array;
  /** [outputs with want = 2, vocabularySize] */
  logits: Float32Array;
  /** [outputs with want = 3, embeddingLength] */
  hidden: Float32Array;
  /** Wall time on the engine thread. */
  microseconds: number;
}
