import type { ForwardBatch, ForwardResult, NativeContext } from "../../types/addon";
import type { Output, Query } from "./request";

/** The positions of one sequence in a step. */
interface Row {
  query: Query | undefined;
  token: number;
  sequence: number;
}

const NO_IDS = new Int32Array(0);

/** Collects the tokens of a step and what is wanted of them. */
export class BatchBuilder {
  private readonly rows: Row[] = [];
  private extraCount = 0;
  /** Positions whose logits are computed. */
  outputs = 0;

  get size(): number {
    return this.rows.length;
  }

  /** Appends a token of the native sequence `sequence`; without a query nothing is wanted of it. */
  add(token: number, sequence: number, query: Query | undefined): void {
    this.rows.push({ token, sequence, query });
    this.extraCount += query?.extraIds?.length ?? 0;
    if (query && query.want !== 3) this.outputs++;
  }

  /** The batch as the addon takes it. */
  build(): ForwardBatch {
    const { rows } = this;
    const queries: Query[] = [];
    const batch: ForwardBatch = {
      tokens: new Int32Array(rows.length),
      sequences: new Int32Array(rows.length),
      want: new Uint8Array(rows.length),
      candidates: 1,
      logSumExp: false,
    };
    // Loops, since this runs between any two tokens, when caches are cold: iterators touch twice as much code.
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (!row) break;
      const { token, sequence, query } = row;
      batch.tokens[i] = token;
      batch.sequences[i] = sequence;
      batch.want[i] = query?.want ?? 0;
      if (query?.want !== 1) continue;
      queries.push(query);
      batch.candidates = Math.max(batch.candidates, query.candidates);
      batch.logSumExp ||= query.logSumExp ?? true;
    }
    batch.temperatures = new Float32Array(queries.length);
    for (let i = 0; i < queries.length; i++) batch.temperatures[i] = queries[i]?.temperature ?? 1;
    if (this.extraCount > 0) {
      const ids = new Int32Array(this.extraCount);
      const offsets = new Int32Array(queries.length + 1);
      for (const [index, { extraIds }] of queries.entries()) {
        const offset = offsets[index] ?? 0;
        if (extraIds) ids.set(extraIds, offset);
        offsets[index + 1] = offset + (extraIds?.length ?? 0);
      }
      batch.extraIds = ids;
      batch.extraOffsets = offsets;
    }
    if (queries.some(({ mask }) => mask)) {
      const masks = queries.flatMap(({ mask }) => (mask ? [mask] : []));
      const [first = NO_IDS] = masks;
      batch.masks = new Int32Array(masks.length * first.length);
      for (const [i, mask] of masks.entries()) batch.masks.set(mask, i * first.length);
      let next = 0;
      batch.maskOf = Int32Array.from(queries, ({ mask }) => (mask ? next++ : -1));
    }
    return batch;
  }
}

const NO_FLOATS = new Float32Array(0);

/** An output of which nothing was wanted. */
const NOTHING: Output = {
  candidateIds: NO_IDS,
  candidateLogits: NO_FLOATS,
  logSumExp: NaN,
  extraLogits: NO_FLOATS,
  hidden: NO_FLOATS,
  allLogits: () => NO_FLOATS,
};

/** Hands out a step's results position by position, in the order in which they were asked for. */
export class ResultReader {
  private readonly stride: number;
  private readonly width: number;
  private states = 0;
  private outputs = 0;
  private candidates = 0;
  private extras = 0;
  private full = 0;

  constructor(
    private readonly context: Pick<NativeContext, "lastLogits">,
    private readonly result: ForwardResult,
    private readonly vocabularySize: number,
    batch: ForwardBatch,
  ) {
    this.stride = Math.min(batch.candidates, vocabularySize);
    const { hidden } = result;
    this.width = hidden.length === 0 ? 0 : hidden.length / batch.want.filter((want) => want === 3).length;
  }

  /** The output that belongs to `query`. Must be called for every query of the batch, in order. */
  next(query: Query): Output {
    const { context, result, vocabularySize, stride } = this;
    if (query.want === 3) {
      const start = this.states++ * this.width;
      return { ...NOTHING, hidden: result.hidden.subarray(start, start + this.width) };
    }
    const index = this.outputs++;
    if (query.want === 2) {
      const start = this.full++ * vocabularySize;
      const logits = result.logits.subarray(start, start + vocabularySize);
      return { ...NOTHING, allLogits: () => logits };
    }
    const row = this.candidates++;
    const start = row * stride;
    // Others in the batch may have asked for more candidates, too.
    const end = start + Math.min(query.candidates, stride);
    const extraStart = this.extras;
    this.extras += query.extraIds?.length ?? 0;
    return {
      candidateIds: result.candidateIds.subarray(start, end),
      candidateLogits: result.candidateLogits.subarray(start, end),
      // What one request sees must not depend on what others of the batch needed.
      logSumExp: query.logSumExp === false ? NaN : (result.logSumExp[row] ?? NaN),
      extraLogits: result.extraLogits.subarray(extraStart, this.extras),
      hidden: NO_FLOATS,
      allLogits: () => context.lastLogits(index),
    };
  }
}
