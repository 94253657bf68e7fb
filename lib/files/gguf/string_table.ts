/**
 * A read-only list of strings: arrays satisfy it, and so does `StringTable`, which holds no string objects.
 */
export interface StringList extends Iterable<string> {
  readonly length: number;
  at(index: number): string | undefined;
  slice(start?: number, end?: number): string[];
  entries(): IterableIterator<[number, string]>;
}

/**
 * Strings kept as UTF-8 bytes and decoded when asked for. A vocabulary has half a million strings with its merges; as
 * string objects they survive several collections of the young generation, each of which stops the event loop for 10 to
 * 20 ms. Decoded one at a time they are gone before the next collection.
 */
export class StringTable implements StringList {
  /** @param bytes the strings one after another. @param ends where each ends. */
  constructor(
    readonly bytes: Buffer,
    private readonly ends: Uint32Array,
  ) {}

  /** A list as a table: itself, where it is one. */
  static from(list: StringList): StringTable {
    if (list instanceof StringTable) return list;
    const builder = new StringTableBuilder(list.length);
    for (const text of list) {
      const bytes = Buffer.from(text);
      builder.add(bytes, 0, bytes.length);
    }
    return builder.build();
  }

  /** Where string i starts in `bytes`. */
  start(i: number): number {
    return i === 0 ? 0 : (this.ends[i - 1] ?? 0);
  }

  /** Where it ends. */
  end(i: number): number {
    return this.ends[i] ?? 0;
  }

  get length(): number {
    return this.ends.length;
  }

  at(index: number): string | undefined {
    const i = index < 0 ? index + this.length : index;
    return i >= 0 && i < this.length ? this.decode(i) : undefined;
  }

  slice(start = 0, end = this.length): string[] {
    const strings: string[] = [];
    for (let i = Math.max(0, start); i < Math.min(end, this.length); i++) strings.push(this.decode(i));
    return strings;
  }

  *entries(): IterableIterator<[number, string]> {
    for (let i = 0; i < this.length; i++) yield [i, this.decode(i)];
  }

  *[Symbol.iterator](): IterableIterator<string> {
    for (let i = 0; i < this.length; i++) yield this.decode(i);
  }

  private decode(i: number): string {
    return this.bytes.toString("utf8", this.start(i), this.end(i));
  }
}

/** Up to this many bytes are copied one by one. */
const SHORT_BYTES = 24;

/** Gathers the bytes of a `StringTable`, growing by doubling: nothing is allocated for strings that don't come. */
export class StringTableBuilder {
  private bytes = Buffer.allocUnsafeSlow(4096);
  private used = 0;
  private count = 0;
  private readonly ends: Uint32Array;

  /** @param length how many strings will come; the caller has checked it against the file's size. */
  constructor(length: number) {
    this.ends = new Uint32Array(length);
  }

  /** Bytes gathered so far. */
  get byteLength(): number {
    return this.used;
  }

  /** Copies source[start..end) as the next string. */
  add(source: Buffer, start: number, end: number): void {
    const needed = this.used + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length));
      this.bytes.copy(larger, 0, 0, this.used);
      this.bytes = larger;
    }
    // Most strings of a vocabulary are shorter than what calling out of JavaScript takes.
    if (end - start > SHORT_BYTES) source.copy(this.bytes, this.used, start, end);
    else for (let to = this.used, from = start; from < end;) this.bytes[to++] = source[from++] ?? 0;
    this.used = needed;
    this.ends[this.count++] = needed;
  }

  build(): StringTable {
    return new StringTable(this.bytes.subarray(0, this.used), this.ends);
  }
}
