import { Buffer } from "node:buffer";
import type { StringTable } from "../../files/gguf/string_table";

/** Start of an FNV-1a hash; `hashByte` adds a byte. */
export const HASH_START = 0x811c9dc5 | 0;

/** The hash of some bytes and one more. */
export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/**
 * Finds pieces of a vocabulary by their bytes: places in a `StringTable` in an open-addressed table, twice as large as
 * needed at least. A hundred thousand pieces take a megabyte and a few milliseconds.
 */
export class PieceIndex {
  /** Index + 1 of a piece; 0: free. */
  private readonly slots: Int32Array;
  private readonly mask: number;
  private most = 0;

  /** @param count how many pieces will be added at most */
  constructor(
    private readonly pieces: StringTable,
    count: number,
  ) {
    let size = 16;
    while (size < 2 * count) size *= 2;
    this.slots = new Int32Array(size);
    this.mask = size - 1;
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
    this.slots[slot] = index + 1;
  }

  /** The index of the piece bytes[start..end), whose hash is given; -1: there is none. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    return (this.slots[this.slotOf(bytes, start, end, hash)] ?? 0) - 1;
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
      const index = (slots[slot] ?? 0) - 1;
      if (index < 0 || same(pieces, index, bytes, start, end)) return slot;
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
