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
  /** @param bytes the strings one after another. @param ends where each ends. @param gap bytes in front of each */
  constructor(
    readonly bytes: Buffer,
    private readonly ends: Uint32Array,
    private readonly gap = 0,
  ) {}

  /** A list as a table: itself, where it is one. */
  static from(list: StringList): StringTable {
    if (list instanceof StringTable) return list;
    const builder = new StringTableBuilder(list.length);
    for (const text of list) builder.add(Buffer.from(text));
    return builder.build();
  }

  /** Where string i starts in `bytes`. */
  start(i: number): number {
    return (i === 0 ? 0 : (this.ends[i - 1] ?? 0)) + this.gap;
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

/** Bytes of the length in front of each string of a GGUF file. */
const LENGTH_BYTES = 8;

/** Gathers the bytes of a `StringTable`, growing by doubling: nothing is allocated for strings that don't come. */
class StringTableBuilder {
  protected used = 0;
  protected count = 0;
  protected readonly ends: Uint32Array;
  private bytes = Buffer.allocUnsafeSlow(4096);

  /** @param length how many strings will come. @param gap see `StringTable` */
  constructor(
    length: number,
    private readonly gap = 0,
  ) {
    this.ends = new Uint32Array(length);
  }

  /** Bytes of the strings gathered so far. */
  get byteLength(): number {
    return this.used - this.gap * this.count;
  }

  /** Copies a string behind the others. */
  add(text: Buffer): void {
    this.append(text, 0, text.length);
    this.ends[this.count++] = this.used;
  }

  build(): StringTable {
    return new StringTable(this.bytes.subarray(0, this.used), this.ends, this.gap);
  }

  /** Copies source[start..end). */
  protected append(source: Buffer, start: number, end: number): void {
    const needed = this.used + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length));
      this.bytes.copy(larger, 0, 0, this.used);
      this.bytes = larger;
    }
    source.copy(this.bytes, this.used, start, end);
    this.used = needed;
  }
}

/** Gathers strings as they stand in a GGUF file, with their lengths, many at a time. */
export class GgufStringsBuilder extends StringTableBuilder {
  /** @param length how many strings will come; the caller has checked it against the file's size. */
  constructor(length: number) {
    super(length, LENGTH_BYTES);
  }

  /**
   * Takes the strings that lie whole in source[start..end), `most` at most.
   * @returns how many, and where the next begins
   */
  addFrom(source: Buffer, start: number, end: number, most: number): { taken: number; next: number } {
    const { ends, count } = this;
    const view = new DataView(source.buffer, source.byteOffset, end);
    const offset = this.used - start;
    let next = start;
    let taken = 0;
    for (; taken < most && end - next >= LENGTH_BYTES; taken++) {
      // A length beyond 2^32 is longer than any source.
      if (view.getUint32(next + 4, true) !== 0) break;
      const length = view.getUint32(next, true);
      if (length > end - next - LENGTH_BYTES) break;
      next += LENGTH_BYTES + length;
      ends[count + taken] = offset + next;
    }
    this.append(source, start, next);
    this.count += taken;
    return { taken, next };
  }
}
