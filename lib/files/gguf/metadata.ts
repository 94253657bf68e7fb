import { ModelFormatError } from "../../errors";
import type { StringList } from "./string_table";
import type { GgufFile, GgufValue } from "./types";

/** Limits of a number; both inclusive. */
export interface NumberRange {
  min?: number;
  max?: number;
}

/**
 * Typed look-ups in a file's metadata. Every method throws `ModelFormatError`, naming file and key, for a value of the
 * wrong type or out of range; those without `optional` also for a missing key.
 */
export class MetadataView {
  constructor(private readonly file: Pick<GgufFile, "path" | "metadata">) {}

  has(key: string): boolean {
    return this.file.metadata.has(key);
  }

  /** An integer of any width. Floats are refused even where they are whole. */
  integer(key: string, range: NumberRange = {}): number {
    return this.present(key, this.optionalInteger(key, range));
  }

  optionalInteger(key: string, range: NumberRange = {}): number | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (!/^u?int/.test(entry.type) || typeof entry.value === "object") throw this.wrong(key, entry, "an integer");
    if (typeof entry.value !== "number") throw this.outOfRange(key, String(entry.value), range);
    return this.inRange(key, entry.value, range);
  }

  /** A finite number, of any integer or float type. */
  number(key: string, range: NumberRange = {}): number {
    return this.present(key, this.optionalNumber(key, range));
  }

  optionalNumber(key: string, range: NumberRange = {}): number | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (typeof entry.value !== "number") throw this.wrong(key, entry, "a number");
    if (!Number.isFinite(entry.value)) throw this.outOfRange(key, String(entry.value), range);
    return this.inRange(key, entry.value, range);
  }

  string(key: string): string {
    return this.present(key, this.optionalString(key));
  }

  optionalString(key: string): string | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (typeof entry.value !== "string") throw this.wrong(key, entry, "a string");
    return entry.value;
  }

  optionalBoolean(key: string): boolean | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (typeof entry.value !== "boolean") throw this.wrong(key, entry, "a boolean");
    return entry.value;
  }

  strings(key: string): StringList {
    return this.present(key, this.optionalStrings(key));
  }

  optionalStrings(key: string): StringList | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (entry.type !== "array" || entry.elementType !== "string") throw this.wrong(key, entry, "an array of strings");
    return entry.value as StringList;
  }

  /** An array of 32-bit (or narrower) integers, copied into an Int32Array. */
  optionalInt32s(key: string): Int32Array | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    const { value } = entry;
    if (value instanceof Int32Array) return value;
    if (
      value instanceof Uint32Array ||
      value instanceof Int16Array ||
      value instanceof Uint16Array ||
      value instanceof Int8Array ||
      value instanceof Uint8Array
    ) {
      return Int32Array.from(value);
    }
    throw this.wrong(key, entry, "an array of 32-bit integers");
  }

  optionalFloat32s(key: string): Float32Array | undefined {
    const entry = this.file.metadata.get(key);
    if (entry === undefined) return undefined;
    if (!(entry.value instanceof Float32Array)) throw this.wrong(key, entry, "an array of 32-bit floats");
    return entry.value;
  }

  /** An error that names the file and a key. */
  error(key: string, problem: string): ModelFormatError {
    return new ModelFormatError(`"${this.file.path}": metadata key ${JSON.stringify(key)} ${problem}`);
  }

  private present<T>(key: string, value: T | undefined): T {
    if (value !== undefined) return value;
    throw this.error(key, "is missing. Convert the model again with a current converter.");
  }

  private inRange(key: string, value: number, range: NumberRange): number {
    if (value < (range.min ?? -Infinity) || value > (range.max ?? Infinity)) {
      throw this.outOfRange(key, String(value), range);
    }
    return value;
  }

  private outOfRange(key: string, value: string, { min, max }: NumberRange): ModelFormatError {
    const limits = [min === undefined ? "" : `at least ${min}`, max === undefined ? "" : `at most ${max}`];
    const wanted = limits.filter(Boolean).join(" and ") || "a finite number";
    return this.error(key, `is ${value}; it must be ${wanted}. The file is damaged or converted wrongly.`);
  }

  private wrong(key: string, entry: GgufValue, wanted: string): ModelFormatError {
    const found = entry.type === "array" ? `an array of ${entry.elementType}` : entry.type;
    return this.error(key, `must be ${wanted}, but is ${found}. The file is damaged or converted wrongly.`);
  }
}
