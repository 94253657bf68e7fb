import type { Slicer, Tokenizer } from "../../tokenizer";

/** What tokens stand for, in one array: entry `i` is the bytes from `starts[i]` to `starts[i + 1]`. */
export interface TokenTexts {
  readonly data: Uint8Array;
  readonly starts: Int32Array;
  /** The token of each entry. */
  readonly ids: Int32Array;
}

/** Tokens that are looked at between two looks at the clock. */
const PORTION = 512;

/**
 * The bytes of all tokens that may come in a text.
 * @param controls control tokens that count as text; the others never come
 */
export async function readTokenTexts(
  tokenizer: Pick<Tokenizer, "vocabularySize" | "tokenBytes" | "isSpecial">,
  vocabularySize: number,
  controls: ReadonlyMap<number, string>,
  slicer: Slicer,
): Promise<TokenTexts> {
  const size = Math.min(vocabularySize, tokenizer.vocabularySize);
  const starts = new Int32Array(size + 1);
  const ids = new Int32Array(size);
  let data = new Uint8Array(size * 8 + 64);
  let count = 0;
  for (let id = 0; id < size; id++) {
    if (id % PORTION === 0) await slicer.pause();
    const control = controls.get(id);
    if (control === undefined && tokenizer.isSpecial(id)) continue;
    const bytes = control === undefined ? tokenizer.tokenBytes(id) : Buffer.from(control);
    if (bytes.length === 0) continue;
    const start = starts[count]!;
    const end = start + bytes.length;
    if (end > data.length) {
      const grown = new Uint8Array(2 * data.length + bytes.length);
      grown.set(data.subarray(0, start));
      data = grown;
    }
    data.set(bytes, start);
    ids[count++] = id;
    starts[count] = end;
  }
  return { data, starts: starts.subarray(0, count + 1), ids: ids.subarray(0, count) };
}

/** The entries in the order of their bytes, a shorter one before what it begins. */
export async function sortedByBytes(texts: TokenTexts, slicer: Slicer): Promise<Int32Array> {
  const sort = new ByteSort(texts);
  while (sort.advance(8 * PORTION)) await slicer.pause();
  return sort.order;
}

/** Ranges up to this long are sorted by insertion. */
const SHORT = 16;

/** A radix sort, most significant byte first. */
class ByteSort {
  readonly order: Int32Array;
  private readonly moved: Int32Array;
  /** Ranges of `order` whose entries have their first bytes in common, so many. */
  private readonly open: { from: number; to: number; depth: number }[];

  constructor(private readonly texts: TokenTexts) {
    this.order = Int32Array.from(texts.ids.keys());
    this.moved = new Int32Array(this.order.length);
    this.open = [{ from: 0, to: this.order.length, depth: 0 }];
  }

  /** Goes on until about so many entries were moved; false when it is over. */
  advance(most: number): boolean {
    for (let done = 0; done < most;) {
      const range = this.open.pop();
      if (!range) return false;
      const { from, to, depth } = range;
      if (to - from <= SHORT) this.insert(from, to, depth);
      else this.divide(from, to, depth);
      done += to - from;
    }
    return true;
  }

  private insert(from: number, to: number, depth: number): void {
    const { order } = this;
    for (let i = from + 1; i < to; i++) {
      const entry = order[i]!;
      let at = i;
      for (; at > from && this.isBefore(entry, order[at - 1]!, depth); at--) order[at] = order[at - 1]!;
      order[at] = entry;
    }
  }

  private divide(from: number, to: number, depth: number): void {
    const { order, moved, open } = this;
    // By the next byte: the first range has the entries that end here, which are equal.
    const ends = new Int32Array(258);
    for (let i = from; i < to; i++) ends[this.byteAt(order[i]!, depth) + 1]!++;
    for (let range = 1; range < 258; range++) ends[range]! += ends[range - 1]!;
    const next = ends.slice(0, 257);
    for (let i = from; i < to; i++) moved[next[this.byteAt(order[i]!, depth)]!++] = order[i]!;
    order.set(moved.subarray(0, to - from), from);
    for (let range = 1; range < 257; range++) {
      const [first, last] = [from + ends[range]!, from + ends[range + 1]!];
      if (last - first > 1) open.push({ from: first, to: last, depth: depth + 1 });
    }
  }

  /** 0 behind the end, else the byte and 1. */
  private byteAt(entry: number, depth: number): number {
    const { starts, data } = this.texts;
    const at = starts[entry]! + depth;
    return at < starts[entry + 1]! ? data[at]! + 1 : 0;
  }

  private isBefore(a: number, b: number, from: number): boolean {
    for (let depth = from; ; depth++) {
      const [left, right] = [this.byteAt(a, depth), this.byteAt(b, depth)];
      if (left !== right) return left < right;
      if (left === 0) return a < b;
    }
  }
}
