import type { NativeContext } from "../../types/addon";
import type { Sequence } from "./sequence";

/** Positions in a block of the KV cache (see `ContextOptions.kvBlocks`). */
export const BLOCK_POSITIONS = 32;

/** Blocks that `positions` take. */
export function blocksFor(positions: number): number {
  return Math.ceil(positions / BLOCK_POSITIONS);
}

/** Which sequences have a cache. A sequence that loses it keeps its tokens and is recomputed when it is used again. */
export class KvPool {
  private readonly holders = new Set<Sequence>();

  constructor(private readonly context: NativeContext) {}

  get freeBlocks(): number {
    return this.context.freeBlocks;
  }

  /** The native number of a sequence, made when it has none. */
  open(sequence: Sequence): number {
    if (sequence.native === undefined) {
      sequence.native = this.context.createSequence();
      sequence.computed = 0;
      this.holders.add(sequence);
    }
    return sequence.native;
  }

  /**
   * Makes the tokens of a sequence those of `tokens` and keeps what the cache has of them, but at most `mostKept`
   * positions. Returns how many were kept. Not while a step computes the sequence.
   */
  adopt(sequence: Sequence, tokens: ArrayLike<number>, mostKept: number): number {
    const kept = sequence.native === undefined ? 0 : Math.min(sequence.commonPrefix(tokens), mostKept);
    if (sequence.native !== undefined && kept < sequence.computed) {
      this.context.truncateSequence(sequence.native, kept);
    }
    sequence.replaceTokens(tokens, kept);
    return kept;
  }

  /** Frees the cache of a sequence; harmless if it has none. */
  release(sequence: Sequence): void {
    if (sequence.native === undefined) return;
    this.context.releaseSequence(sequence.native);
    this.holders.delete(sequence);
    sequence.native = undefined;
    sequence.computed = 0;
  }

  /** Frees the cache of the sequence that was unused for longest among those not in `busy`; false if there is none. */
  releaseIdle(busy: ReadonlySet<Sequence>): boolean {
    let oldest: Sequence | undefined;
    for (const sequence of this.holders) {
      if (busy.has(sequence) || (oldest && oldest.lastUsed <= sequence.lastUsed)) continue;
      oldest = sequence;
    }
    if (oldest) this.release(oldest);
    return oldest !== undefined;
  }
}
