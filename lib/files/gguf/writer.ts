import type { FileHandle } from "node:fs/promises";
import { AbortError, ConversionError } from "../../errors";
import { writeFileAtomically } from "../atomic_file";
import { tensorTypeByName } from "./tensor_types";
import { VALUE_TYPES, type GgufArray, type GgufValue, type GgufValueType } from "./types";

/** Bytes gathered before they are written. */
const BUFFER_BYTES = 1 << 20;

/** Only the default is written: every reader knows it. */
const ALIGNMENT = 32;

/** A tensor to write. */
export interface TensorSource {
  name: string;
  /** Elements per dimension, fastest first: a matrix is [columns, rows]. */
  dims: readonly number[];
  /** Lower-case format name, see TENSOR_TYPES. */
  format: string;
  /** The tensor's bytes in pieces of any size; called once, when the tensor's turn comes. */
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** What a GGUF file is made of. */
export interface GgufContent {
  /** In the order in which they are written; "general.architecture" should come first. */
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: readonly TensorSource[];
}

/** Options of `writeGguf`. */
export interface WriteGgufOptions {
  /** Stops writing; the output path is left as it was and the promise rejects with `AbortError`. */
  signal?: AbortSignal;
  /** Called with the bytes written so far and in all. */
  onProgress?: (written: number, total: number) => void;
}

/**
 * Writes a GGUF version 3 file, atomically, holding one piece of one tensor in memory at a time.
 * @returns bytes of the file.
 * @throws ConversionError when a tensor's data has another size than its shape asks for.
 * @throws FileError when the file cannot be written.
 */
export async function writeGguf(path: string, content: GgufContent, options: WriteGgufOptions = {}): Promise<number> {
  const sizes = content.tensors.map(byteLength);
  const header = Buffer.concat([...headerPieces(content, sizes)]);
  const dataOffset = align(header.length);
  const total = sizes.reduce((sum, size) => align(sum) + size, dataOffset);
  await writeFileAtomically(path, async (handle) => {
    const out = new BufferedOutput(handle, options.signal, (written) => options.onProgress?.(written, total));
    await out.write(header);
    for (const [i, tensor] of content.tensors.entries()) {
      await out.pad(align(out.position) - out.position);
      const start = out.position;
      for await (const piece of tensor.data()) await out.write(piece);
      if (out.position - start !== sizes[i]) {
        throw new ConversionError(
          `Tensor "${tensor.name}" gave ${out.position - start} bytes, but ${tensor.format} of shape ` +
            `[${tensor.dims.join(", ")}] has ${sizes[i]}.`,
        );
      }
    }
    if (content.tensors.length === 0) await out.pad(dataOffset - out.position);
    await out.flush();
  });
  return total;
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function byteLength(tensor: TensorSource): number {
  const columns = tensor.dims[0] ?? 1;
  const rows = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
  const bytes = tensorTypeByName(tensor.format)?.byteLength(rows, columns);
  if (bytes !== undefined) return bytes;
  throw new ConversionError(
    `Tensor "${tensor.name}" of shape [${tensor.dims.join(", ")}] cannot be written as ${tensor.format}.`,
  );
}

class BufferedOutput {
  position = 0;
  private readonly buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  private used = 0;

  constructor(
    private readonly handle: FileHandle,
    private readonly signal: AbortSignal | undefined,
    private readonly onFlush: (written: number) => void,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const take = Math.min(bytes.length - at, BUFFER_BYTES - this.used);
      this.buffer.set(bytes.subarray(at, at + take), this.used);
      this.used += take;
      this.position += take;
      at += take;
      if (this.used === BUFFER_BYTES) await this.flush();
    }
  }

  async pad(bytes: number): Promise<void> {
    if (bytes > 0) await this.write(new Uint8Array(bytes));
  }

  async flush(): Promise<void> {
    if (this.signal?.aborted) throw new AbortError("Writing a GGUF file was aborted.", { cause: this.signal.reason });
    for (let at = 0; at < this.used;) {
      const { bytesWritten } = await this.handle.write(this.buffer, at, this.used - at);
      at += bytesWritten;
    }
    this.used = 0;
    this.onFlush(this.position);
  }
}

function* headerPieces(content: GgufContent, sizes: readonly number[]): Generator<Uint8Array> {
  yield Buffer.from("GGUF", "latin1");
  yield integer(4, 3);
  yield integer(8, content.tensors.length);
  yield integer(8, content.metadata.size);
  for (const [key, value] of content.metadata) {
    yield text(key);
    yield integer(4, VALUE_TYPES.indexOf(value.type));
    yield* valuePieces(key, value);
  }
  let offset = 0;
  for (const [i, tensor] of content.tensors.entries()) {
    yield text(tensor.name);
    yield integer(4, tensor.dims.length);
    for (const size of tensor.dims) yield integer(8, size);
    yield integer(4, tensorTypeByName(tensor.format)?.id ?? 0);
    offset = align(offset);
    yield integer(8, offset);
    offset += sizes[i] ?? 0;
  }
}

function* valuePieces(key: string, entry: GgufValue): Generator<Uint8Array> {
  if (entry.type !== "array") {
    yield scalar(key, entry.type, entry.value);
    return;
  }
  yield integer(4, VALUE_TYPES.indexOf(entry.elementType));
  yield integer(8, entry.value.length);
  yield* elementPieces(key, entry.elementType, entry.value);
}

function* elementPieces(key: string, type: GgufValueType, array: GgufArray): Generator<Uint8Array> {
  if (ArrayBuffer.isView(array)) {
    // Little-endian on every platform Node runs this package on.
    yield new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    return;
  }
  for (const element of array) {
    if (typeof element === "object") yield* valuePieces(key, element);
    else yield scalar(key, type, element);
  }
}

function scalar(key: string, type: GgufValueType, value: number | bigint | boolean | string): Uint8Array {
  if (type === "string" && typeof value === "string") return text(value);
  if (type === "bool" && typeof value === "boolean") return Uint8Array.of(value ? 1 : 0);
  if (typeof value === "number" || typeof value === "bigint") return number(key, type, value);
  throw new ConversionError(`Metadata key "${key}" has a ${typeof value} where ${type} is declared.`);
}

function number(key: string, type: GgufValueType, value: number | bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  switch (type) {
    case "float32":
      view.setFloat32(0, Number(value), true);
      return new Uint8Array(view.buffer, 0, 4);
    case "float64":
      view.setFloat64(0, Number(value), true);
      return new Uint8Array(view.buffer);
    case "uint8":
    case "int8":
    case "uint16":
    case "int16":
    case "uint32":
    case "int32":
    case "uint64":
    case "int64":
      return checkedInteger(key, type, value);
    default:
      throw new ConversionError(`Metadata key "${key}" has a number where ${type} is declared.`);
  }
}

function checkedInteger(key: string, type: GgufValueType, value: number | bigint): Uint8Array {
  const bits = Number(/\d+/.exec(type)?.[0]);
  const signed = type.startsWith("int");
  const whole = typeof value === "bigint" || Number.isSafeInteger(value) ? BigInt(value) : undefined;
  const least = signed ? -(1n << BigInt(bits - 1)) : 0n;
  const most = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  if (whole === undefined || whole < least || whole > most) {
    throw new ConversionError(`Metadata key "${key}" is ${value}, which ${type} cannot hold.`);
  }
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, whole), true);
  return new Uint8Array(view.buffer, 0, bits / 8);
}

function integer(bytes: 4 | 8, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(bytes));
  view.setUint32(0, value % 0x1_0000_0000, true);
  if (bytes === 8) view.setUint32(4, Math.floor(value / 0x1_0000_0000), true);
  return new Uint8Array(view.buffer);
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([integer(8, bytes.length), bytes]);
}
