import { ModelFormatError } from "../../errors";
import type { StringTable } from "../../files/gguf/string_table";
import type { Slicer } from "../slices";
import { HASH_START, hashByte, type PieceIndex } from "./piece_index";

/** Merges made between two looks at the clock. */
const PORTION = 2048;

const SPACE = 0x20;

/** Which two tokens merge into which, and with which rank (0 first), in a few typed arrays. */
export class MergeTable {
  private readonly left: Int32Array;
  private readonly right: Int32Array;
  private readonly merged: Int32Array;
  /** Rank + 1, by a hash of the two ids; 0: free. */
  private readonly slots: Int32Array;
  private readonly shift: number;

  private constructor(count: number) {
    this.left = new Int32Array(count);
    this.right = new Int32Array(count);
    this.merged = new Int32Array(count);
    let bits = 4;
    while (2 ** bits < 1.4 * count) bits++;
    this.slots = new Int32Array(2 ** bits);
    this.shift = 32 - bits;
  }

  /**
   * Reads "left right" lines by falling priority.
   * @throws ModelFormatError for a merge of or into what is no token
   */
  static async read(merges: StringTable, index: PieceIndex, slicer: Slicer): Promise<MergeTable> {
    const table = new MergeTable(merges.length);
    const joined = new Uint8Array(longest(merges));
    for (let rank = 0; rank < merges.length; rank++) {
      if (rank % PORTION === 0) await slicer.pause();
      table.readOne(merges, rank, index, joined);
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

  private readOne(merges: StringTable, rank: number, index: PieceIndex, joined: Uint8Array): void {
    const { bytes } = merges;
    const start = merges.start(rank);
    const end = merges.end(rank);
    let size = 0;
    let hash = HASH_START;
    let at = start;
    for (; at < end && bytes[at] !== SPACE; at++) {
      const byte = bytes[at] ?? 0;
      joined[size++] = byte;
      hash = hashByte(hash, byte);
    }
    const left = index.find(bytes, start, at, hash);
    let rightHash = HASH_START;
    for (let i = at + 1; i < end; i++) {
      const byte = bytes[i] ?? 0;
      joined[size++] = byte;
      hash = hashByte(hash, byte);
      rightHash = hashByte(rightHash, byte);
    }
    const right = index.find(bytes, at + 1, Math.max(end, at + 1), rightHash);
    const merged = index.find(joined, 0, size, hash);
    if (left < 0 || right < 0 || merged < 0) {
      throw new ModelFormatError(
        `The vocabulary's merge ${rank}, ${JSON.stringify(merges.at(rank))}, is not one of two tokens into a third ` +
          `(tokenizer.ggml.merges): the file is damaged; convert the model again`,
      );
    }
    this.left[rank] = left;
    this.right[rank] = right;
    this.merged[rank] = merged;
    // Of merges that stand twice the last counts, as in Hugging Face's library.
    this.slots[this.slotOf(left, right)] = rank + 1;
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
