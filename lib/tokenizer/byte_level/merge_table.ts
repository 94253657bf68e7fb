import { ModelFormatError } from "../../errors";
import type { StringTable } from "../../files/gguf/string_table";
import type { Tables } from "../../files/table_file";
import { tableOf } from "../kept_tables";
import type { Slicer } from "../slices";
import { HASH_START, hashByte, type PieceIndex } from "./piece_index";

/** Merges read at a time, between two looks at the clock. */
const PORTION = 512;

const SPACE = 0x20;

/** Where in the text of some merges their two sides are, side after side, with their hashes, and which tokens they are. */
class Portion {
  readonly starts = new Int32Array(2 * PORTION);
  readonly ends = new Int32Array(2 * PORTION);
  readonly hashes = new Int32Array(2 * PORTION);
  readonly ids = new Int32Array(2 * PORTION);
  count = 0;
  private readonly joined: Uint8Array;

  constructor(private readonly merges: StringTable) {
    this.joined = new Uint8Array(longest(merges));
  }

  /** Splits merges from `first` on at their spaces. */
  split(first: number): void {
    const { merges, starts, ends, hashes } = this;
    const { bytes } = merges;
    this.count = Math.min(PORTION, merges.length - first);
    for (let i = 0; i < this.count; i++) {
      const start = merges.start(first + i);
      const end = merges.end(first + i);
      let hash = HASH_START;
      let at = start;
      for (; at < end && bytes[at] !== SPACE; at++) hash = hashByte(hash, bytes[at] ?? 0);
      starts[2 * i] = start;
      ends[2 * i] = at;
      hashes[2 * i] = hash;
      hash = HASH_START;
      const next = at + 1;
      for (at = next; at < end; at++) hash = hashByte(hash, bytes[at] ?? 0);
      starts[2 * i + 1] = next;
      ends[2 * i + 1] = at;
      hashes[2 * i + 1] = hash;
    }
  }

  /** Finds the tokens that the sides are, -1 for none. */
  findSides(index: PieceIndex): void {
    index.findMany(this.merges.bytes, this.starts, this.ends, this.hashes, 2 * this.count, this.ids);
  }

  /** Finds the tokens that the sides make together and writes them to merged[first ...]. */
  findMerged(index: PieceIndex, merged: Int32Array, first: number): void {
    const { merges, starts, ends, count } = this;
    const { bytes } = merges;
    let last = merged[first - 1] ?? -1;
    for (let i = 0; i < count; i++) {
      const start = starts[2 * i] ?? 0;
      const middle = ends[2 * i] ?? 0;
      const next = starts[2 * i + 1] ?? 0;
      const end = ends[2 * i + 1] ?? 0;
      // Vocabularies mostly have their tokens in the order of their merges, each with all pairs that make it.
      if (!index.isJoined(last, bytes, start, middle, next, end)) {
        last++;
        if (!index.isJoined(last, bytes, start, middle, next, end)) last = this.findJoined(index, i);
      }
      merged[first + i] = last;
    }
  }

  private findJoined(index: PieceIndex, i: number): number {
    const { starts, ends, hashes, joined } = this;
    const { bytes } = this.merges;
    let size = 0;
    for (let k = starts[2 * i] ?? 0; k < (ends[2 * i] ?? 0); k++) joined[size++] = bytes[k] ?? 0;
    let hash = hashes[2 * i] ?? 0;
    for (let k = starts[2 * i + 1] ?? 0; k < (ends[2 * i + 1] ?? 0); k++) {
      const byte = bytes[k] ?? 0;
      joined[size++] = byte;
      hash = hashByte(hash, byte);
    }
    return index.find(joined, 0, size, hash);
  }
}

/** Which two tokens merge into which, and with which rank (0 first), in a few typed arrays. */
export class MergeTable {
  private readonly left: Int32Array;
  private readonly right: Int32Array;
  private readonly merged: Int32Array;
  /** Rank + 1, by a hash of the two ids; 0: free. */
  private readonly slots: Int32Array;
  private readonly shift: number;

  private constructor(count: number, kept?: Tables) {
    const array = (name: string, length: number): Int32Array =>
      kept ? tableOf(kept, `merges.${name}`, Int32Array, length) : new Int32Array(length);
    this.left = array("left", count);
    this.right = array("right", count);
    this.merged = array("merged", count);
    let bits = 4;
    while (2 ** bits < 1.4 * count) bits++;
    this.slots = array("slots", 2 ** bits);
    this.shift = 32 - bits;
  }

  /** What `tables` gave of the table of `count` merges. @throws RangeError where it is of another size */
  static keptAs(kept: Tables, count: number): MergeTable {
    return new MergeTable(count, kept);
  }

  /** All that it consists of. */
  get tables(): Tables {
    const { left, right, merged, slots } = this;
    return new Map(Object.entries({ left, right, merged, slots }).map(([name, table]) => [`merges.${name}`, table]));
  }

  /**
   * Reads "left right" lines by falling priority.
   * @throws ModelFormatError for a merge of or into what is no token
   */
  static async read(merges: StringTable, index: PieceIndex, slicer: Slicer): Promise<MergeTable> {
    const table = new MergeTable(merges.length);
    const portion = new Portion(merges);
    for (let first = 0; first < merges.length; first += PORTION) {
      await slicer.pause();
      portion.split(first);
      portion.findSides(index);
      portion.findMerged(index, table.merged, first);
      const broken = table.add(portion, first);
      if (broken >= 0) {
        throw new ModelFormatError(
          `The vocabulary's merge ${broken}, ${JSON.stringify(merges.at(broken))}, is not one of two tokens into a third ` +
            `(tokenizer.ggml.merges): the file is damaged; convert the model again`,
        );
      }
    }
    return table;
  }

  /** The rank of merging two tokens; -1: they don't merge. */
  rank(left: number, right: number): number {
    return (this.slots[this.slotOf(left, right)] ?? 0) - 1;
  }

  /** The token that the merge with this rank makes. */
  result(rank: number): number {
    return this.merged[rank] ?? -1;
  }

  /** Adds merges whose sides and results are known. Returns the rank of the first that lacks one; -1: none does. */
  private add({ ids, count }: Portion, first: number): number {
    const { left, right, merged, slots } = this;
    for (let i = 0; i < count; i++) {
      const rank = first + i;
      const leftId = ids[2 * i] ?? -1;
      const rightId = ids[2 * i + 1] ?? -1;
      if (leftId < 0 || rightId < 0 || (merged[rank] ?? -1) < 0) return rank;
      left[rank] = leftId;
      right[rank] = rightId;
      // Of merges that stand twice the last counts, as in Hugging Face's library.
      slots[this.slotOf(leftId, rightId)] = rank + 1;
    }
    return -1;
  }

  private slotOf(left: number, right: number): number {
    const { slots, shift } = this;
    const mask = slots.length - 1;
    let slot = Math.imul(Math.imul(left, 0x2c1b3c6d) ^ right, 0x9e3779b1) >>> shift;
    for (;;) {
      const rank = (slots[slot] ?? 0) - 1;
      if (rank < 0 || (this.left[rank] === left && this.right[rank] === right)) return slot;
      slot = (slot + 1) & mask;
    }
  }
}

function longest(list: StringTable): number {
  let most = 0;
  for (let i = 0; i < list.length; i++) most = Math.max(most, list.end(i) - list.start(i));
  return most;
}
