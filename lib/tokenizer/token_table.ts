import type { Tables } from "../files/table_file";
import { tableOf } from "./kept_tables";

/** What a token is, apart from its bytes. */
export const TokenClass = {
  /** Ordinary text. */
  Text: 0,
  /** A control token: skipped when decoding, recognised in a text only when asked for. */
  Control: 1,
  /** A token added by the model's makers that always reads as one token ("<think>"). */
  Always: 2,
} as const;

/** A value of `TokenClass`. */
export type TokenClass = (typeof TokenClass)[keyof typeof TokenClass];

const encoder = new TextEncoder();

/** The bytes and class of every id, in a few typed arrays. */
export class TokenTable {
  private data: Uint8Array;
  private used = 0;
  private readonly starts: Uint32Array;
  private readonly lengths: Uint32Array;
  private readonly classes: Uint8Array;

  /**
   * @param size number of ids; an id that is never set reads as an empty text
   * @param kept what `tables` gave of a table that is complete
   * @throws RangeError where that is of another size
   */
  constructor(
    readonly size: number,
    kept?: Tables,
  ) {
    this.data = kept ? tableOf(kept, "tokens.data", Uint8Array) : new Uint8Array(Math.max(64, size * 8));
    this.starts = kept ? tableOf(kept, "tokens.starts", Uint32Array, size) : new Uint32Array(size);
    this.lengths = kept ? tableOf(kept, "tokens.lengths", Uint32Array, size) : new Uint32Array(size);
    this.classes = kept ? tableOf(kept, "tokens.classes", Uint8Array, size) : new Uint8Array(size);
    if (kept) this.used = this.data.length;
  }

  /** All that it consists of. */
  get tables(): Tables {
    return new Map<string, Uint8Array | Uint32Array>([
      ["tokens.data", this.data.subarray(0, this.used)],
      ["tokens.starts", this.starts],
      ["tokens.lengths", this.lengths],
      ["tokens.classes", this.classes],
    ]);
  }

  /** Sets the bytes of an id; a string stands for its UTF-8. */
  set(id: number, content: string | Uint8Array, tokenClass: TokenClass = TokenClass.Text): void {
    this.makeRoom(typeof content === "string" ? content.length * 3 : content.length);
    let written = content.length;
    if (typeof content === "string") written = encoder.encodeInto(content, this.data.subarray(this.used)).written;
    else this.data.set(content, this.used);
    this.take(id, written, tokenClass);
  }

  /** Sets an id of ordinary text to the first `count` bytes of a buffer: without a view for each of many short texts. */
  setFirst(id: number, source: Uint8Array, count: number): void {
    this.makeRoom(count);
    const { data, used } = this;
    for (let i = 0; i < count; i++) data[used + i] = source[i] ?? 0;
    this.take(id, count, TokenClass.Text);
  }

  private makeRoom(needed: number): void {
    if (this.used + needed <= this.data.length) return;
    const grown = new Uint8Array(Math.max(this.data.length * 2, this.used + needed));
    grown.set(this.data.subarray(0, this.used));
    this.data = grown;
  }

  private take(id: number, count: number, tokenClass: TokenClass): void {
    this.starts[id] = this.used;
    this.lengths[id] = count;
    this.classes[id] = tokenClass;
    this.used += count;
  }

  /** The bytes of an id: a view, not a copy. Ids outside of the vocabulary are a defect of the caller. */
  bytes(id: number): Uint8Array {
    this.check(id);
    const start = this.starts[id] ?? 0;
    return this.data.subarray(start, start + (this.lengths[id] ?? 0));
  }

  /** Bytes of the longest token that has each byte, 0 where none has; and 1 for bytes that are a token by themselves. */
  byteLengths(): { longest: Uint32Array; single: Uint8Array } {
    const { data, starts, lengths } = this;
    const longest = new Uint32Array(256);
    const single = new Uint8Array(256);
    for (let id = 0; id < this.size; id++) {
      const start = starts[id] ?? 0;
      const length = lengths[id] ?? 0;
      if (length === 1) single[data[start] ?? 0] = 1;
      for (let i = start; i < start + length; i++) {
        const byte = data[i] ?? 0;
        if ((longest[byte] ?? 0) < length) longest[byte] = length;
      }
    }
    return { longest, single };
  }

  isControl(id: number): boolean {
    this.check(id);
    return this.classes[id] === TokenClass.Control;
  }

  /** The lowest id with exactly these bytes, control tokens first. Looks at every id. */
  find(text: string): number | undefined {
    const wanted = encoder.encode(text);
    if (wanted.length === 0) return undefined;
    let found: number | undefined;
    for (let id = 0; id < this.size; id++) {
      if (this.lengths[id] !== wanted.length) continue;
      const start = this.starts[id] ?? 0;
      if (!wanted.every((byte, i) => this.data[start + i] === byte)) continue;
      if (this.classes[id] === TokenClass.Control) return id;
      found ??= id;
    }
    return found;
  }

  private check(id: number): void {
    if (!(Number.isInteger(id) && id >= 0 && id < this.size)) {
      throw new RangeError(`Token id ${id} is outside of the vocabulary (0 to ${this.size - 1})`);
    }
  }
}
