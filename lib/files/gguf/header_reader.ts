import type { FileHandle } from "node:fs/promises";
import { AbortError, ModelFormatError } from "../../errors";
import type { GgufStringsBuilder } from "./string_table";

/** Bytes read at a time. Parsing one chunk of short strings takes less than a millisecond: the event loop stays free. */
const CHUNK_BYTES = 512 * 1024;

/** Longest string accepted: chat templates reach a few hundred kilobytes. */
const MAX_STRING_BYTES = 16 * 1024 * 1024;

/** Milliseconds of parsing after which the event loop gets a turn. */
const SLICE_MS = 2;

/**
 * Reads little-endian values one after another from a file through one bounded window. Nothing is allocated from a
 * length in the file before that length was compared with the bytes the file still has.
 *
 * The `take*` methods are synchronous and need `require` (or `available`) to have brought their bytes in: one await per
 * value would make a vocabulary of 128 k tokens slow.
 */
export class HeaderReader {
  private window = Buffer.allocUnsafe(CHUNK_BYTES);
  /** Valid bytes are window[start..end). */
  private start = 0;
  private end = 0;
  private filePosition = 0;
  private sliceStarted = performance.now();

  constructor(
    private readonly handle: FileHandle,
    /** Path for error messages. */
    readonly path: string,
    /** Bytes of the file. */
    readonly size: number,
    private readonly signal?: AbortSignal,
  ) {}

  /** Bytes from the start of the file to the next value. */
  get position(): number {
    return this.filePosition - (this.end - this.start);
  }

  /** Bytes of the file behind the position. */
  get remaining(): number {
    return this.size - this.position;
  }

  /** Bytes that `take*` can use without waiting. */
  get available(): number {
    return this.end - this.start;
  }

  /**
   * Makes `bytes` available. `what` names what is being read, for the error when the file ends early.
   * @throws ModelFormatError when the file has fewer bytes left.
   */
  async require(bytes: number, what: string): Promise<void> {
    if (bytes > this.available) {
      if (bytes > this.remaining) throw this.truncated(bytes, what);
      await this.fill(bytes, what);
    }
    if (performance.now() - this.sliceStarted > SLICE_MS) await this.breathe();
  }

  /** Lets the event loop run, and looks at the abort signal. */
  async breathe(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.signal?.aborted)
      throw new AbortError(`Reading "${this.path}" was aborted.`, { cause: this.signal.reason });
    this.sliceStarted = performance.now();
  }

  private async fill(bytes: number, what: string): Promise<void> {
    const kept = this.end - this.start;
    if (bytes > this.window.length) {
      const larger = Buffer.allocUnsafe(bytes);
      this.window.copy(larger, 0, this.start, this.end);
      this.window = larger;
    } else {
      this.window.copy(this.window, 0, this.start, this.end);
    }
    this.start = 0;
    this.end = kept;
    while (this.end < bytes) {
      // A window grown for one long value is filled no further than the value, so that parsing slices stay short.
      const room = Math.max(CHUNK_BYTES, bytes) - this.end;
      const { bytesRead } = await this.handle.read(this.window, this.end, room, this.filePosition);
      if (bytesRead === 0) throw this.truncated(bytes, what);
      this.end += bytesRead;
      this.filePosition += bytesRead;
    }
    if (this.signal?.aborted)
      throw new AbortError(`Reading "${this.path}" was aborted.`, { cause: this.signal.reason });
    this.sliceStarted = performance.now();
  }

  /** The error for a file that ends inside `what`. */
  truncated(bytes: number, what: string): ModelFormatError {
    return new ModelFormatError(
      `"${this.path}" is truncated or damaged: ${what} at byte ${this.position} needs ${bytes} bytes, ` +
        `but only ${Math.max(0, this.remaining)} are left. Download or convert the file again.`,
    );
  }

  /** The window's next `bytes` bytes; valid until the next await. */
  takeBytes(bytes: number): Buffer {
    const slice = this.window.subarray(this.start, this.start + bytes);
    this.start += bytes;
    return slice;
  }

  takeUint8(): number {
    return this.window.readUInt8(this.advance(1));
  }

  takeInt8(): number {
    return this.window.readInt8(this.advance(1));
  }

  takeUint16(): number {
    return this.window.readUInt16LE(this.advance(2));
  }

  takeInt16(): number {
    return this.window.readInt16LE(this.advance(2));
  }

  takeUint32(): number {
    return this.window.readUInt32LE(this.advance(4));
  }

  takeInt32(): number {
    return this.window.readInt32LE(this.advance(4));
  }

  takeFloat32(): number {
    return this.window.readFloatLE(this.advance(4));
  }

  takeFloat64(): number {
    return this.window.readDoubleLE(this.advance(8));
  }

  takeUint64(): bigint {
    return this.window.readBigUInt64LE(this.advance(8));
  }

  takeInt64(): bigint {
    return this.window.readBigInt64LE(this.advance(8));
  }

  /** An unsigned 64-bit length. Lengths beyond 2^53 come out as imprecise, huge numbers, which every check refuses. */
  takeLength(): number {
    const at = this.advance(8);
    return this.window.readUInt32LE(at) + this.window.readUInt32LE(at + 4) * 0x1_0000_0000;
  }

  /** A string of known byte length that is available. */
  takeText(bytes: number): string {
    const at = this.advance(bytes);
    return this.window.toString("utf8", at, at + bytes);
  }

  /** Moves the next strings into a table, `most` at most, as far as they are available; returns how many. */
  takeStringsInto(table: GgufStringsBuilder, most: number): number {
    const { taken, next } = table.addFrom(this.window, this.start, this.end, most);
    this.start = next;
    return taken;
  }

  /** Makes the next string with its length available; `what` names it in errors. */
  async requireString(what: string): Promise<void> {
    await this.require(8, `the length of ${what}`);
    const length = this.takeLength();
    this.start -= 8;
    this.checkStringLength(length, what);
    await this.require(8 + length, what);
  }

  /** A string with its length in front; `what` names it in errors. */
  async string(what: string, limit: number = MAX_STRING_BYTES): Promise<string> {
    await this.require(8, `the length of ${what}`);
    const length = this.takeLength();
    this.checkStringLength(length, what, limit);
    await this.require(length, what);
    return this.takeText(length);
  }

  private checkStringLength(length: number, what: string, limit: number = MAX_STRING_BYTES): void {
    if (length > this.remaining) throw this.truncated(length, what);
    if (length > limit) {
      throw new ModelFormatError(
        `"${this.path}": ${what} has ${length} bytes; at most ${limit} are accepted. The file is damaged or hostile.`,
      );
    }
  }

  private advance(bytes: number): number {
    const at = this.start;
    this.start += bytes;
    return at;
  }
}
