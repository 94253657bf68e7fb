import type { NativeContext } from "../../types/addon";
import { BLOCK_POSITIONS } from "./blocks";
import { ClosedError, KvCacheFullError, fromNative } from "../errors";
import { PrefixCache, type PrefixMatch } from "./prefix_cache";
import type { Sequence } from "./sequence";

/** Full blocks of a sequence that are held. */
export interface KvSnapshot {
  readonly blocks: number;
  /** A copy of one. @throws ClosedError */
  read(index: number): Uint8Array;
  /** Harmless after the model was closed, which freed them. */
  drop(): void;
}

/** Which sequences have a cache. A sequence that loses it keeps its tokens and is recomputed when it is used again. */
export class KvPool {
  private readonly holders = new Set<Sequence>();

  /** Keys and values that no sequence holds any more. */
  readonly cache: PrefixCache;

  /** @param cacheBlocks blocks that texts may leave behind for others that begin the same way */
  constructor(
    private readonly context: NativeContext,
    private readonly cacheBlocks: number,
  ) {
    this.cache = new PrefixCache(context, cacheBlocks);
  }

  get freeBlocks(): number {
    return this.context.freeBlocks;
  }

  get totalBlocks(): number {
    return this.context.totalBlocks;
  }

  /** Positions at the start of `tokens` that a sequence or the cache has, at most `most`. */
  known(sequence: Sequence, tokens: ArrayLike<number>, most: number): number {
    const own = sequence.native === undefined ? 0 : Math.min(sequence.commonPrefix(tokens), most);
    return Math.max(own, this.find(tokens, most, sequence)?.length ?? 0);
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
    const other = this.find(tokens, mostKept, sequence);
    // To share less than a block more is not worth it.
    if (other && other.length >= kept + BLOCK_POSITIONS) {
      const forked = this.fork(other);
      if (forked) {
        this.release(sequence);
        sequence.native = forked.native;
        this.holders.add(sequence);
        sequence.replaceTokens(tokens, forked.length);
        return forked.length;
      }
    }
    if (sequence.native !== undefined && kept < sequence.computed) {
      this.context.truncateSequence(sequence.native, kept);
    }
    sequence.replaceTokens(tokens, kept);
    return kept;
  }

  /**
   * The full blocks that the cache has of a sequence, held until `drop` is called, whatever becomes of the sequence;
   * undefined for none. Not while a step computes it.
   */
  snapshot({ native, computed }: Sequence): KvSnapshot | undefined {
    const blocks = Math.floor(computed / BLOCK_POSITIONS);
    if (native === undefined || blocks === 0) return undefined;
    const fork = this.context.forkSequence(native, blocks * BLOCK_POSITIONS);
    return {
      blocks,
      read: (index) => this.readBlock(fork, index),
      drop: () => this.drop(fork),
    };
  }

  private drop(native: number): void {
    try {
      this.context.releaseSequence(native);
    } catch (error) {
      if (!(fromNative(error) instanceof ClosedError)) throw error;
    }
  }

  private readBlock(native: number, index: number): Uint8Array {
    try {
      return this.context.readBlock(native, index);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Puts a saved block behind those of a sequence that was opened for it. Its positions do not count as computed before
   * the caller says so. False when no block is free.
   */
  append({ native }: Sequence, bytes: Uint8Array): boolean {
    try {
      if (native === undefined) return false;
      this.context.appendBlock(native, bytes);
      return true;
    } catch (error) {
      if (fromNative(error) instanceof KvCacheFullError) return false;
      throw error;
    }
  }

  /** Takes positions from `sequence.computed` on out of the cache again, and ends a pass that was begun ahead there. */
  forgetAhead(sequence: Sequence): void {
    const { native } = sequence;
    if (native !== undefined) this.context.truncateSequence(native, sequence.computed);
  }

  /** The sequence is over: what the cache has of it may serve others. Not while a step computes it. */
  retire(sequence: Sequence): void {
    const { native, computed } = sequence;
    if (native === undefined || this.cacheBlocks === 0 || computed < BLOCK_POSITIONS) {
      this.release(sequence);
      return;
    }
    this.holders.delete(sequence);
    this.cache.retain(native, sequence.tokens.slice(0, computed));
    sequence.native = undefined;
    sequence.computed = 0;
  }

  /** Frees the cache of a sequence; harmless if it has none. */
  release(sequence: Sequence): void {
    if (sequence.native === undefined) return;
    this.context.releaseSequence(sequence.native);
    this.holders.delete(sequence);
    sequence.native = undefined;
    sequence.computed = 0;
  }

  /**
   * Makes room: drops up to `blocks` blocks that texts left behind, or else the cache of the sequence that was unused for
   * longest among those not in `busy`. False if there is nothing to drop.
   */
  releaseIdle(busy: ReadonlySet<Sequence>, blocks = 1): boolean {
    let dropped = 0;
    while (dropped < Math.max(blocks, 1) && this.cache.evict()) dropped++;
    if (dropped > 0) return true;
    let oldest: Sequence | undefined;
    for (const sequence of this.holders) {
      if (busy.has(sequence) || (oldest && oldest.lastUsed <= sequence.lastUsed)) continue;
      oldest = sequence;
    }
    if (oldest) this.release(oldest);
    return oldest !== undefined;
  }

  /** Who has most of the beginning of `tokens`, besides `sequence` itself. */
  private find(tokens: ArrayLike<number>, most: number, sequence: Sequence): PrefixMatch | undefined {
    if (most < 1 || this.cacheBlocks === 0) return undefined;
    let best = this.cache.match(tokens, most);
    for (const holder of this.holders) {
      if (holder === sequence || holder.native === undefined) continue;
      const length = Math.min(holder.commonPrefix(tokens), most);
      if (length > (best?.length ?? 0)) best = { native: holder.native, length };
    }
    return best;
  }

  private fork({ native, length }: PrefixMatch): PrefixMatch | undefined {
    // Only a part of a block needs one of its own.
    for (const most of [length, length - (length % BLOCK_POSITIONS)]) {
      try {
        if (most > 0) return { native: this.context.forkSequence(native, most), length: most };
      } catch (error) {
        if (!(fromNative(error) instanceof KvCacheFullError)) throw error;
      }
    }
    return undefined;
  }
}
