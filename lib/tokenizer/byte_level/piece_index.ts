import { Buffer } from "node:buffer";
import type { StringTable } from "../../files/gguf/string_table";
import type { Tables } from "../../files/table_file";
import { tableOf } from "../kept_tables";

/** Start of an FNV-1a hash; `hashByte` adds a byte. */
export const HASH_START = 0x811c9dc5 | 0;

/** The hash of some bytes and one more. */
export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/**
 * Finds pieces of a vocabulary by their bytes: places in a `StringTable` in an open-addressed table, twice as large as
 * needed at least. A hundred thousand pieces take two megabytes and a few milliseconds.
 */
export class PieceIndex {
  /** Pairs: the hash of a piece, and its index + 1; 0: free. Only pieces of the same hash are looked at, which lie elsewhere. */
  private readonly slots: Int32Array;
  private readonly mask: number;
  /** 1 for pieces that can be found. */
  private readonly added: Uint8Array;
  private most = 0;
  private unique = true;

  /**
   * @param count how many pieces will be added at most
   * @param kept what `tables` gave once they were
   * @throws RangeError where that is of another size
   */
  constructor(
    private readonly pieces: StringTable,
    count: number,
    kept?: Tables,
  ) {
    let size = 16;
    while (size < 2 * count) size *= 2;
    this.slots = kept ? tableOf(kept, "pieces.slots", Int32Array, 2 * size) : new Int32Array(2 * size);
    this.mask = size - 1;
    this.added = kept ? tableOf(kept, "pieces.added", Uint8Array, pieces.length) : new Uint8Array(pieces.length);
    if (!kept) return;
    const [most = 0, unique] = tableOf(kept, "pieces.rest", Int32Array, 2);
    this.most = most;
    this.unique = unique === 1;
  }

  /** All that it consists of, but for the pieces. */
  get tables(): Tables {
    return new Map<string, Uint8Array | Int32Array>([
      ["pieces.slots", this.slots],
      ["pieces.added", this.added],
      ["pieces.rest", Int32Array.of(this.most, this.unique ? 1 : 0)],
    ]);
  }

  /** Bytes of the longest piece that was added. */
  get longest(): number {
    return this.most;
  }

  /** Adds piece `index`; of pieces that read the same, the last is found. */
  add(index: number): void {
    const { bytes } = this.pieces;
    const start = this.pieces.start(index);
    const end = this.pieces.end(index);
    this.most = Math.max(this.most, end - start);
    let hash = HASH_START;
    for (let i = start; i < end; i++) hash = hashByte(hash, bytes[i] ?? 0);
    const slot = this.slotOf(bytes, start, end, hash);
    if (this.slots[slot + 1] !== 0) this.unique = false;
    this.slots[slot] = hash;
    this.slots[slot + 1] = index + 1;
    this.added[index] = 1;
  }

  /** The index of the piece bytes[start..end), whose hash is given; -1: there is none. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    return (this.slots[this.slotOf(bytes, start, end, hash) + 1] ?? 0) - 1;
  }

  /**
   * Whether `find` would give `index` for bytes[start..middle) and bytes[next..end) together: for guesses, which cost less than
   * looking. Where pieces read the same, never.
   */
  isJoined(index: number, bytes: Uint8Array, start: number, middle: number, next: number, end: number): boolean {
    if (!this.unique || this.added[index] !== 1) return false;
    const own = this.pieces.bytes;
    let at = this.pieces.start(index);
    if (this.pieces.end(index) - at !== middle - start + end - next) return false;
    for (let i = start; i < middle; i++) if (own[at++] !== bytes[i]) return false;
    for (let i = next; i < end; i++) if (own[at++] !== bytes[i]) return false;
    return true;
  }

  /**
   * `find` for many pieces of `bytes`: out[i] for starts[i], ends[i] and hashes[i], the first `count` of each. Faster than one
   * by one, because the CPU then waits for the memory of many at the same time.
   */
  findMany(
    bytes: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    hashes: Int32Array,
    count: number,
    out: Int32Array,
  ): void {
    const { slots, mask, pieces } = this;
    const own = pieces.bytes;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i] ?? 0;
      const at = 2 * ((hash ^ (hash >>> 15)) & mask);
      out[i] = slots[at] === hash ? (slots[at + 1] ?? 0) - 1 : -1;
    }
    for (let i = 0; i < count; i++) {
      const index = out[i] ?? -1;
      const start = starts[i] ?? 0;
      const size = (ends[i] ?? 0) - start;
      let same = index >= 0;
      if (same) {
        const first = pieces.start(index);
        same = pieces.end(index) - first === size;
        for (let k = 0; same && k < size; k++) same = own[first + k] === bytes[start + k];
      }
      if (!same) out[i] = this.find(bytes, start, start + size, hashes[i] ?? 0);
    }
  }

  /** The index of a piece; -1: there is none. */
  findText(text: string): number {
    const bytes = Buffer.from(text);
    return this.find(bytes, 0, bytes.length, bytes.reduce(hashByte, HASH_START));
  }

  /** Where the piece is, or the free slot where it would be. */
  private slotOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const { slots, mask, pieces } = this;
    // FNV's low bits are good enough; the high ones of short texts are not.
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (;;) {
      const at = 2 * slot;
      const index = (slots[at + 1] ?? 0) - 1;
      if (index < 0 || (slots[at] === hash && same(pieces, index, bytes, start, end))) return at;
      slot = (slot + 1) & mask;
    }
  }
}

function same(pieces: StringTable, index: number, bytes: Uint8Array, start: number, end: number): boolean {
  const own = pieces.bytes;
  let at = pieces.start(index);
  if (pieces.end(index) - at !== end - start) return false;
  for (let i = start; i < end; i++) if (own[at++] !== bytes[i]) return false;
  return true;
}
