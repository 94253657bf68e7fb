import { ModelFormatError } from "../../errors";
import type { HeaderReader } from "./header_reader";
import { GgufStringsBuilder, type StringTable } from "./string_table";
import { VALUE_TYPES, type GgufArray, type GgufNumberArray, type GgufValue, type GgufValueType } from "./types";

/** Arrays of arrays deeper than this are refused: nothing needs them, and recursion must end. */
const MAX_DEPTH = 8;

/** Most array elements in all metadata together; the largest vocabularies have about two million with merges. */
const MAX_ELEMENTS = 1 << 24;

/** Most bytes in one array of strings; the largest vocabularies have about ten million with merges. */
const MAX_TABLE_BYTES = 256 * 1024 * 1024;

interface NumberKind {
  readonly bytes: number;
  create(length: number): GgufNumberArray;
}

const NUMBER_KINDS: Partial<Record<GgufValueType, NumberKind>> = {
  uint8: { bytes: 1, create: (n) => new Uint8Array(n) },
  int8: { bytes: 1, create: (n) => new Int8Array(n) },
  uint16: { bytes: 2, create: (n) => new Uint16Array(n) },
  int16: { bytes: 2, create: (n) => new Int16Array(n) },
  uint32: { bytes: 4, create: (n) => new Uint32Array(n) },
  int32: { bytes: 4, create: (n) => new Int32Array(n) },
  float32: { bytes: 4, create: (n) => new Float32Array(n) },
  uint64: { bytes: 8, create: (n) => new BigUint64Array(n) },
  int64: { bytes: 8, create: (n) => new BigInt64Array(n) },
  float64: { bytes: 8, create: (n) => new Float64Array(n) },
};

/** Reads metadata values, counting array elements over a whole file. */
export class MetadataValues {
  private elements = 0;

  constructor(private readonly reader: HeaderReader) {}

  /** A value with its type in front; `key` names it in errors. */
  async read(key: string): Promise<GgufValue> {
    await this.reader.require(4, `the type of ${key}`);
    return this.readAs(this.type(this.reader.takeUint32(), key), key, 0);
  }

  private type(id: number, key: string): GgufValueType {
    const type = VALUE_TYPES[id];
    if (type === undefined) {
      throw new ModelFormatError(
        `"${this.reader.path}": ${key} has value type ${id}, which GGUF does not define. The file is damaged, or newer ` +
          `than this reader.`,
      );
    }
    return type;
  }

  private async readAs(type: GgufValueType, key: string, depth: number): Promise<GgufValue> {
    const { reader } = this;
    switch (type) {
      case "string":
        return { type, value: await reader.string(key) };
      case "array":
        return this.array(key, depth);
      case "bool":
        await reader.require(1, key);
        return { type, value: this.bool(reader.takeUint8(), key) };
      default:
        await reader.require(NUMBER_KINDS[type]?.bytes ?? 8, key);
        return { type, value: this.number(type) };
    }
  }

  private number(type: GgufValueType): number | bigint {
    const { reader } = this;
    switch (type) {
      case "uint8":
        return reader.takeUint8();
      case "int8":
        return reader.takeInt8();
      case "uint16":
        return reader.takeUint16();
      case "int16":
        return reader.takeInt16();
      case "uint32":
        return reader.takeUint32();
      case "int32":
        return reader.takeInt32();
      case "float32":
        return reader.takeFloat32();
      case "float64":
        return reader.takeFloat64();
      case "int64":
        return exact(reader.takeInt64());
      default:
        return exact(reader.takeUint64());
    }
  }

  private bool(byte: number, key: string): boolean {
    if (byte > 1) {
      throw new ModelFormatError(
        `"${this.reader.path}": ${key} is a boolean with value ${byte}; GGUF allows 0 and 1. The file is damaged.`,
      );
    }
    return byte === 1;
  }

  private async array(key: string, depth: number): Promise<GgufValue> {
    const { reader } = this;
    if (depth >= MAX_DEPTH) {
      throw new ModelFormatError(
        `"${reader.path}": ${key} nests arrays deeper than ${MAX_DEPTH}. The file is damaged or hostile.`,
      );
    }
    await reader.require(12, `the array header of ${key}`);
    const elementType = this.type(reader.takeUint32(), key);
    const length = reader.takeLength();
    const kind = NUMBER_KINDS[elementType];
    const smallest = kind?.bytes ?? (elementType === "bool" ? 1 : elementType === "string" ? 8 : 12);
    if (length * smallest > reader.remaining) throw reader.truncated(length * smallest, key);
    this.elements += length;
    if (this.elements > MAX_ELEMENTS) {
      throw new ModelFormatError(
        `"${reader.path}": ${key} takes the metadata over ${MAX_ELEMENTS} array elements. The file is damaged or hostile.`,
      );
    }
    return { type: "array", elementType, value: await this.elementsOf(elementType, length, kind, key, depth) };
  }

  private async elementsOf(
    type: GgufValueType,
    length: number,
    kind: NumberKind | undefined,
    key: string,
    depth: number,
  ): Promise<GgufArray> {
    if (kind) return this.numbers(kind, length, key);
    if (type === "string") return this.strings(length, key);
    if (type === "bool") return this.bools(length, key);
    const values: GgufValue[] = [];
    for (let i = 0; i < length; i++) values.push(await this.readAs(type, key, depth + 1));
    return values;
  }

  private async numbers(kind: NumberKind, length: number, key: string): Promise<GgufNumberArray> {
    const array = kind.create(length);
    // Typed arrays have the machine's byte order; every platform Node runs this package on is little-endian.
    const bytes = new Uint8Array(array.buffer);
    for (let at = 0; at < bytes.length;) {
      await this.reader.require(1, key);
      const take = Math.min(this.reader.available, bytes.length - at);
      bytes.set(this.reader.takeBytes(take), at);
      at += take;
    }
    return array;
  }

  private async strings(length: number, key: string): Promise<StringTable> {
    const { reader } = this;
    const table = new GgufStringsBuilder(length);
    for (let i = 0; i < length;) {
      // Straight through the window while it lasts; only its end costs an await.
      const taken = reader.takeStringsInto(table, length - i);
      i += taken;
      if (taken === 0) await reader.requireString(`${key}[${i}]`);
      if (table.byteLength > MAX_TABLE_BYTES) {
        throw new ModelFormatError(
          `"${reader.path}": ${key} holds over ${MAX_TABLE_BYTES} bytes of text. The file is damaged or hostile.`,
        );
      }
    }
    return table.build();
  }

  private async bools(length: number, key: string): Promise<boolean[]> {
    const values: boolean[] = [];
    while (values.length < length) {
      await this.reader.require(1, key);
      const take = Math.min(this.reader.available, length - values.length);
      for (const byte of this.reader.takeBytes(take)) values.push(this.bool(byte, key));
    }
    return values;
  }
}

function exact(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;
}
