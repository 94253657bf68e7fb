/**
 * Safetensors reader: header only, single files and sharded folders. Spec: huggingface/safetensors README (8-byte header
 * length, JSON header of at most 100 MB, tensors that fill the rest of the file without holes or overlap).
 */
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { BitnetError, FileError, ModelFormatError } from "../errors";
import { openRegularFile } from "./regular_file";

const MAX_HEADER_BYTES = 100_000_000;

/** A header nests three levels: tensors, their fields, shapes. */
const MAX_HEADER_DEPTH = 8;

/** Index files list one name a tensor; real ones have less than 10 MB. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

const DTYPE_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};

/** A tensor of a safetensors file; its bytes are not read. */
export interface SafetensorsTensor {
  readonly name: string;
  /** Absolute path of the file it is in. */
  readonly path: string;
  /** "BF16", "U8", ... */
  readonly dtype: string;
  /** Row-major, slowest first. */
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Reads the header of one safetensors file.
 * @throws ModelFormatError when it is truncated or contradicts itself; FileError when it cannot be read.
 */
export async function readSafetensors(path: string): Promise<Map<string, SafetensorsTensor>> {
  const absolute = resolve(path);
  const { handle, size } = await openRegularFile(absolute);
  try {
    if (size < 10) throw damaged(absolute, `it has ${size} bytes, less than a header`);
    const lengthBytes = Buffer.alloc(8);
    await handle.read(lengthBytes, 0, 8, 0);
    const length = Number(lengthBytes.readBigUInt64LE(0));
    if (length < 2 || length > MAX_HEADER_BYTES || length > size - 8) {
      throw damaged(absolute, `its header claims ${length} bytes of a file of ${size}`);
    }
    const header = Buffer.alloc(length);
    const { bytesRead } = await handle.read(header, 0, length, 8);
    if (bytesRead !== length) throw damaged(absolute, "it ended while being read");
    return parseHeader(absolute, header, 8 + length, size);
  } catch (error) {
    if (error instanceof BitnetError) throw error;
    throw new FileError(`Cannot read "${absolute}": ${String(error)}.`, { cause: error });
  } finally {
    await handle.close();
  }
}

/**
 * Reads the headers of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
 * @throws ModelFormatError, FileError as `readSafetensors`, also when an index and its shards disagree.
 */
export async function readSafetensorsFolder(folder: string): Promise<Map<string, SafetensorsTensor>> {
  const indexPath = resolve(folder, "model.safetensors.index.json");
  if (!(await fileExists(indexPath))) {
    const single = resolve(folder, "model.safetensors");
    if (await fileExists(single)) return readSafetensors(single);
    throw new FileError(
      `"${resolve(folder)}" has neither "model.safetensors" nor "model.safetensors.index.json". Give a Hugging Face ` +
        `model folder with safetensors weights.`,
    );
  }
  const index = await readJson(indexPath, MAX_INDEX_BYTES);
  const weightMap = isRecord(index) ? index.weight_map : undefined;
  if (!isRecord(weightMap)) throw damaged(indexPath, 'it has no object "weight_map"');
  const shards = new Map<string, Map<string, SafetensorsTensor>>();
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, file] of Object.entries(weightMap)) {
    // A shard is a file of this folder: an index from the internet must not point elsewhere.
    if (typeof file !== "string" || !/^[\w.-]+\.safetensors$/.test(file)) {
      throw damaged(indexPath, `tensor ${JSON.stringify(name)} names the shard ${JSON.stringify(file)}`);
    }
    let shard = shards.get(file);
    if (shard === undefined) {
      shard = await readSafetensors(join(folder, file));
      shards.set(file, shard);
    }
    const tensor = shard.get(name);
    if (tensor === undefined) throw damaged(indexPath, `tensor ${JSON.stringify(name)} is not in shard "${file}"`);
    tensors.set(name, tensor);
  }
  const total = [...shards.values()].reduce((sum, shard) => sum + shard.size, 0);
  if (total !== tensors.size) throw damaged(indexPath, `its shards hold ${total} tensors, it lists ${tensors.size}`);
  return tensors;
}

/**
 * Reads and parses a JSON file of at most `limit` bytes.
 * @throws FileError when it cannot be read, ModelFormatError when it is too large or no JSON.
 */
export async function readJson(path: string, limit: number): Promise<unknown> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size > limit) throw new ModelFormatError(`"${path}" has ${size} bytes; at most ${limit} are accepted.`);
    const text = await readFile(handle, "utf8");
    return parseJson(path, text);
  } finally {
    await handle.close();
  }
}

/** The object of a JSON file, empty where there is no file. @throws as `readJson`, ModelFormatError for no object */
export async function optionalJson(path: string): Promise<Record<string, unknown>> {
  if (!(await fileExists(path))) return {};
  const json = await readJson(path, MAX_INDEX_BYTES);
  if (isRecord(json)) return json;
  throw new ModelFormatError(`"${path}" is no JSON object.`);
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelFormatError(`"${path}" is not valid JSON: ${reason}`, { cause: error });
  }
}

function parseHeader(path: string, header: Buffer, dataOffset: number, size: number): Map<string, SafetensorsTensor> {
  if (header[0] !== 0x7b) throw damaged(path, 'its header does not start with "{"');
  checkDepth(path, header);
  const parsed = parseJson(path, header.toString("utf8"));
  if (!isRecord(parsed)) throw damaged(path, "its header is no object");
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, entry] of Object.entries(parsed)) {
    if (name !== "__metadata__") tensors.set(name, parseTensor(path, name, entry, dataOffset, size));
  }
  checkCoverage(path, [...tensors.values()], dataOffset, size);
  return tensors;
}

function parseTensor(path: string, name: string, entry: unknown, dataOffset: number, size: number): SafetensorsTensor {
  const wrong = (problem: string): ModelFormatError => damaged(path, `tensor ${JSON.stringify(name)} ${problem}`);
  if (!isRecord(entry)) throw wrong("is no object");
  const { dtype, shape, data_offsets: offsets } = entry;
  const itemBytes = typeof dtype === "string" && Object.hasOwn(DTYPE_BYTES, dtype) ? DTYPE_BYTES[dtype] : undefined;
  if (itemBytes === undefined) throw wrong(`has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!isCounts(shape) || shape.length > 8) throw wrong("has no valid shape");
  if (!isCounts(offsets) || offsets.length !== 2) throw wrong("has no valid data_offsets");
  const [begin = 0, end = 0] = offsets;
  const bytes = shape.reduce((product, count) => product * count, itemBytes);
  if (end < begin || end - begin !== bytes) {
    throw wrong(
      `has data_offsets [${begin}, ${end}], but ${String(dtype)} of shape [${shape.join(", ")}] has ${bytes} bytes`,
    );
  }
  if (dataOffset + end > size) throw wrong(`ends at byte ${dataOffset + end} of a file of ${size}`);
  return { name, path, dtype: String(dtype), shape, offset: dataOffset + begin, byteLength: bytes };
}

function checkCoverage(path: string, tensors: SafetensorsTensor[], dataOffset: number, size: number): void {
  const sorted = tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let expected = dataOffset;
  for (const tensor of sorted) {
    if (tensor.offset !== expected) {
      const what = tensor.offset < expected ? "overlaps the tensor before it" : "leaves a hole before it";
      throw damaged(path, `tensor ${JSON.stringify(tensor.name)} ${what}`);
    }
    expected = tensor.offset + tensor.byteLength;
  }
  if (expected !== size) throw damaged(path, `its tensors end at byte ${expected}, the file at ${size}`);
}

/** Counts brackets outside strings, so that a hostile header cannot nest arrays without end. */
function checkDepth(path: string, header: Buffer): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < header.length; i++) {
    const byte = header[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) {
      inString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_HEADER_DEPTH) throw damaged(path, "its header nests too deeply");
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    }
  }
}

function damaged(path: string, problem: string): ModelFormatError {
  return new ModelFormatError(`"${path}" is damaged or truncated: ${problem}. Download it again.`);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
}

/** Whether a parsed JSON value is an object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether there is a regular file at a path. */
export async function fileExists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
