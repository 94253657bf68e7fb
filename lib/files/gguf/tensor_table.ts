import { ModelFormatError, UnsupportedModelError } from "../../errors";
import type { HeaderReader } from "./header_reader";
import { tensorTypesById, type TensorType } from "./tensor_types";
import type { GgufTensor } from "./types";

/** Longest tensor name in bytes; ggml itself stops at 64. */
const MAX_NAME_BYTES = 1024;

/** ggml's GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4;

/** Smallest entry: empty name, no dimensions, type, offset. */
const MIN_ENTRY_BYTES = 8 + 4 + 4 + 8;

/** The type id of f32. */
const F32 = 0;

/** A row of the tensor table as stored. */
export interface TensorEntry {
  name: string;
  dims: number[];
  typeId: number;
  /** Bytes from the start of the tensor data. */
  relativeOffset: number;
}

/** What the places of tensors are checked against. */
export interface Placement {
  path: string;
  size: number;
  alignment: number;
  dataOffset: number;
  /** Whether `general.architecture` is one of bitnet.cpp's: decides between meanings of a type id. */
  bitnet: boolean;
  allowUnknownTypes: boolean;
}

/** Reads the tensor table: shapes and offsets, each value checked by itself. */
export async function readTensorTable(reader: HeaderReader, count: number): Promise<TensorEntry[]> {
  if (count * MIN_ENTRY_BYTES > reader.remaining) {
    throw reader.truncated(count * MIN_ENTRY_BYTES, `a table of ${count} tensors`);
  }
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const name = await reader.string(`the name of tensor ${i}`, MAX_NAME_BYTES);
    const quoted = `tensor ${JSON.stringify(name)}`;
    if (names.has(name)) throw new ModelFormatError(`"${reader.path}": ${quoted} stands twice in the file.`);
    names.add(name);
    await reader.require(4, `the dimensions of ${quoted}`);
    const dims = await readDimensions(reader, reader.takeUint32(), quoted);
    await reader.require(12, `the type and offset of ${quoted}`);
    entries.push({ name, dims, typeId: reader.takeUint32(), relativeOffset: reader.takeLength() });
  }
  return entries;
}

async function readDimensions(reader: HeaderReader, count: number, quoted: string): Promise<number[]> {
  if (count > MAX_DIMENSIONS) {
    throw new ModelFormatError(
      `"${reader.path}": ${quoted} has ${count} dimensions; up to ${MAX_DIMENSIONS} are possible. The file is damaged.`,
    );
  }
  if (count === 0) return [1]; // a single number, to ggml too
  await reader.require(8 * count, `the dimensions of ${quoted}`);
  const dims: number[] = [];
  let elements = 1;
  for (let i = 0; i < count; i++) {
    const size = reader.takeLength();
    elements *= size;
    dims.push(size);
  }
  if (elements < 1 || elements > Number.MAX_SAFE_INTEGER || dims.some((size) => size > Number.MAX_SAFE_INTEGER)) {
    throw new ModelFormatError(
      `"${reader.path}": ${quoted} has the impossible shape [${dims.join(", ")}]. The file is damaged.`,
    );
  }
  return dims;
}

/**
 * Turns table rows into tensors with absolute offsets, formats and sizes.
 * @throws ModelFormatError for offsets that are not aligned, tensors that overlap or leave the file.
 * @throws UnsupportedModelError for unknown or ambiguous types.
 */
export function placeTensors(entries: readonly TensorEntry[], placement: Placement): GgufTensor[] {
  const { path, size, alignment, dataOffset } = placement;
  if (entries.length === 0) return [];
  for (const entry of entries) {
    const offset = dataOffset + entry.relativeOffset;
    if (entry.relativeOffset % alignment !== 0) {
      throw new ModelFormatError(
        `"${path}": tensor ${JSON.stringify(entry.name)} starts at data offset ${entry.relativeOffset}, which is not a ` +
          `multiple of the alignment ${alignment}. The file is damaged.`,
      );
    }
    if (offset >= size) {
      throw new ModelFormatError(
        `"${path}" is truncated or damaged: tensor ${JSON.stringify(entry.name)} starts at byte ${offset}, the file has ` +
          `${size}. Download or convert the file again.`,
      );
    }
  }
  const stored = withoutOwnScales(entries);
  const byOffset = [...stored].sort((a, b) => a.relativeOffset - b.relativeOffset);
  const room = new Map<TensorEntry, number>();
  byOffset.forEach((entry, i) => {
    const next = byOffset[i + 1];
    room.set(entry, (next ? next.relativeOffset : size - dataOffset) - entry.relativeOffset);
  });
  return stored.map((entry) => placeTensor(entry, room.get(entry) ?? 0, placement));
}

/**
 * All entries but the scales that are a part of another tensor. bitnet.cpp's converter writes the scale of a tensor `x` of
 * its own types as a tensor `x_scale` right behind the codes, and its engine reads it as the tail of `x`: both are the same
 * bytes. A scale that stands elsewhere remains, as a tensor that no model knows.
 */
function withoutOwnScales(entries: readonly TensorEntry[]): readonly TensorEntry[] {
  const scales = new Map<string, Set<number>>();
  for (const { name, dims, typeId, relativeOffset } of entries) {
    const [columns, rows] = matrixOf(dims);
    for (const type of tensorTypesById(typeId)) {
      const bytes = type.byteLength(rows, columns);
      if (type.scaleTail === undefined || bytes === undefined) continue;
      const places = scales.get(`${name}_scale`) ?? new Set();
      scales.set(`${name}_scale`, places.add(relativeOffset + bytes - type.scaleTail));
    }
  }
  return entries.filter(
    ({ name, dims, typeId, relativeOffset }) =>
      typeId !== F32 || dims.some((size) => size !== 1) || !scales.get(name)?.has(relativeOffset),
  );
}

/** Columns, and the product of all other dimensions. */
function matrixOf(dims: readonly number[]): [columns: number, rows: number] {
  return [dims[0] ?? 1, dims.slice(1).reduce((product, size) => product * size, 1)];
}

function placeTensor(entry: TensorEntry, room: number, placement: Placement): GgufTensor {
  const { name, dims, typeId } = entry;
  const [columns, rows] = matrixOf(dims);
  const { format, byteLength } = resolveType(entry, rows, columns, room, placement);
  if (byteLength > room) {
    throw new ModelFormatError(
      `"${placement.path}" is truncated or damaged: tensor ${JSON.stringify(name)} (${format}, [${dims.join(", ")}]) needs ` +
        `${byteLength} bytes, but only ${room} lie before the next tensor or the end of the file. Download or convert the ` +
        `file again.`,
    );
  }
  return { name, dims, typeId, format, offset: placement.dataOffset + entry.relativeOffset, byteLength };
}

function resolveType(
  entry: TensorEntry,
  rows: number,
  columns: number,
  room: number,
  placement: Placement,
): { format: string; byteLength: number } {
  const quoted = `"${placement.path}": tensor ${JSON.stringify(entry.name)}`;
  const meanings = tensorTypesById(entry.typeId);
  if (meanings.length === 0) {
    if (placement.allowUnknownTypes) return { format: `unknown-${entry.typeId}`, byteLength: room };
    throw new UnsupportedModelError(
      `${quoted} has the unknown type id ${entry.typeId}. Use a file with a supported type such as I2_S, or convert the ` +
        `original model with "node-bitnet convert".`,
    );
  }
  const here = meanings.filter((type) => type.onlyIn === undefined || !placement.bitnet);
  const possible = here
    .map((type) => ({ type, byteLength: type.byteLength(rows, columns) }))
    .filter((item): item is { type: TensorType; byteLength: number } => item.byteLength !== undefined);
  const only = possible[0];
  if (only && here.length === 1) return { format: only.type.name, byteLength: only.byteLength };
  // A shared id: writers put tensors one after another, so the room of the right meaning is its size and the padding.
  const fitting = possible.filter(
    ({ byteLength }) => Number.isInteger(byteLength) && byteLength <= room && room - byteLength < placement.alignment,
  );
  const first = fitting[0];
  if (first && fitting.length === 1) return { format: first.type.name, byteLength: first.byteLength };
  const names = meanings.map((type) => type.name).join(" or ");
  const shape = `[${entry.dims.join(", ")}]`;
  if (placement.allowUnknownTypes) return { format: `unknown-${entry.typeId}`, byteLength: room };
  if (here.length === 1) {
    throw new ModelFormatError(
      `${quoted} has the shape ${shape}, which type ${here[0]?.name} cannot have. The file is damaged.`,
    );
  }
  if (fitting.length === 0) {
    throw new ModelFormatError(
      `${quoted} has type id ${entry.typeId} (${names}) and shape ${shape}, but its ${room} bytes fit none of these ` +
        `types. The file is damaged or truncated, or its type is one that this reader does not know.`,
    );
  }
  throw new UnsupportedModelError(
    `${quoted} has type id ${entry.typeId}, which means ${names}, and its size fits more than one of them. Convert the ` +
      `original model with "node-bitnet convert".`,
  );
}
