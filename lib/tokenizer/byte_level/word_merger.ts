import type { Slicer } from "../slices";
import type { MergeTable } from "./merge_table";

/** Words up to this many tokens find their best pair by comparing all; a longer one keeps its pairs in a heap. */
const SHORT_WORD = 256;

/** Merges of a long word between two looks at the clock. */
const PORTION = 1024;

/** Most tokens of a word: a rank and a place make one exact number. */
const MOST_PLACES = 2 ** 28;

/**
 * Byte pair encoding of one word (Sennrich et al. 2016): of all pairs of neighbours that merge, the one with the lowest
 * rank does, the leftmost of equals, until none is left.
 */
export class WordMerger {
  private readonly ranks = new Int32Array(SHORT_WORD);

  constructor(private readonly merges: MergeTable) {}

  /** What is left of a word of up to `SHORT_WORD` tokens, in the same memory. */
  mergeNow(ids: Int32Array): Int32Array {
    return ids.subarray(0, this.mergeShort(ids, ids.length));
  }

  /** Merges ids[0..count) in place; returns how many are left. */
  private mergeShort(ids: Int32Array, count: number): number {
    const { merges, ranks } = this;
    for (let i = 0; i + 1 < count; i++) ranks[i] = merges.rank(ids[i] ?? 0, ids[i + 1] ?? 0);
    for (;;) {
      let best = -1;
      let at = -1;
      for (let i = 0; i + 1 < count; i++) {
        const rank = ranks[i] ?? -1;
        if (rank >= 0 && (best < 0 || rank < best)) {
          best = rank;
          at = i;
        }
      }
      if (best < 0) return count;
      ids[at] = merges.result(best);
      ids.copyWithin(at + 1, at + 2, count);
      ranks.copyWithin(at + 1, at + 2, count - 1);
      count--;
      if (at > 0) ranks[at - 1] = merges.rank(ids[at - 1] ?? 0, ids[at] ?? 0);
      if (at + 1 < count) ranks[at] = merges.rank(ids[at] ?? 0, ids[at + 1] ?? 0);
    }
  }

  /** The same for any number, in slices; what is left is returned. */
  async merge(ids: Int32Array, slicer: Slicer): Promise<Int32Array> {
    const count = ids.length;
    if (count <= SHORT_WORD) return ids.subarray(0, this.mergeShort(ids, count));
    if (count > MOST_PLACES) throw new RangeError("The text has a word that is too long.");
    const { merges } = this;
    // Neighbours of each place; -1 and count: none.
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    const heap = new PairHeap(count);
    const push = (left: number, right: number): void => {
      if (left < 0 || right >= count) return;
      const rank = merges.rank(ids[left] ?? 0, ids[right] ?? 0);
      if (rank >= 0) heap.push(rank * MOST_PLACES + left);
    };
    for (let i = 0; i < count; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
      push(i, i + 1);
      if (i % (16 * PORTION) === 0) await slicer.pause();
    }
    for (let step = 0; heap.size > 0; step++) {
      if (step % PORTION === 0) await slicer.pause();
      const least = heap.pop();
      const left = least % MOST_PLACES;
      const rank = (least - left) / MOST_PLACES;
      const right = next[left] ?? count;
      // What was pushed may have merged with another since; a place that is gone has -1.
      if (right >= count || (ids[left] ?? -1) < 0 || merges.rank(ids[left] ?? 0, ids[right] ?? 0) !== rank) continue;
      ids[left] = merges.result(rank);
      ids[right] = -1;
      const after = next[right] ?? count;
      next[left] = after;
      if (after < count) previous[after] = left;
      push(previous[left] ?? -1, left);
      push(left, after);
    }
    return ids.filter((id) => id >= 0);
  }
}

/** A binary heap of numbers, the least first. */
class PairHeap {
  size = 0;
  private items: Float64Array;

  constructor(capacity: number) {
    this.items = new Float64Array(capacity);
  }

  push(item: number): void {
    if (this.size === this.items.length) {
      const larger = new Float64Array(2 * this.size);
      larger.set(this.items);
      this.items = larger;
    }
    const { items } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] ?? 0;
      if (above <= item) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  pop(): number {
    const { items } = this;
    const least = items[0] ?? 0;
    const last = items[--this.size] ?? 0;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && (items[child + 1] ?? 0) < (items[child] ?? 0)) child++;
      const below = items[child] ?? 0;
      if (below >= last) break;
      items[at] = below;
      at = child;
    }
    items[at] = last;
    return least;
  }
}
