import { open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { FileError, ModelFormatError } from "../errors";
import { isRecord, readJson, readSafetensorsFolder, type SafetensorsTensor } from "./safetensors";

const MAX_CONFIG_BYTES = 1 << 20;

/** What a Hugging Face model folder says apart from its tokenizer: configuration and tensor headers. */
export interface HfFolder {
  /** Absolute path. */
  readonly path: string;
  /** Absolute path of config.json. */
  readonly configPath: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** The values of tensors that hold one number, such as `*.weight_scale`. */
  readonly scalars: ReadonlyMap<string, number>;
}

/**
 * Reads config.json and the headers of a folder's safetensors files.
 * @throws FileError, ModelFormatError
 */
export async function readHfFolder(folder: string): Promise<HfFolder> {
  const path = resolve(folder);
  const configPath = join(path, "config.json");
  const config = await readJson(configPath, MAX_CONFIG_BYTES);
  if (!isRecord(config)) throw new ModelFormatError(`"${configPath}" is no JSON object.`);
  const tensors = await readSafetensorsFolder(path);
  return { path, configPath, config, tensors, scalars: await readScalars(tensors) };
}

async function readScalars(tensors: ReadonlyMap<string, SafetensorsTensor>): Promise<Map<string, number>> {
  const byFile = new Map<string, SafetensorsTensor[]>();
  for (const tensor of tensors.values()) {
    const one = tensor.shape.every((size) => size === 1);
    if (!one || !SCALAR_READERS.has(tensor.dtype)) continue;
    const list = byFile.get(tensor.path);
    if (list) list.push(tensor);
    else byFile.set(tensor.path, [tensor]);
  }
  const scalars = new Map<string, number>();
  for (const [path, list] of byFile) {
    const handle = await open(path, "r").catch((error: unknown) => {
      throw new FileError(`Cannot open "${path}": ${String(error)}.`, { cause: error });
    });
    try {
      for (const { name, dtype, offset, byteLength } of list) {
        const bytes = Buffer.alloc(byteLength);
        const { bytesRead } = await handle.read(bytes, 0, byteLength, offset);
        if (bytesRead !== byteLength) throw new ModelFormatError(`"${path}" ended while it was being read.`);
        scalars.set(name, SCALAR_READERS.get(dtype)?.(bytes) ?? NaN);
      }
    } finally {
      await handle.close();
    }
  }
  return scalars;
}

const SCALAR_READERS: ReadonlyMap<string, (bytes: Buffer) => number> = new Map([
  ["F32", (bytes: Buffer) => bytes.readFloatLE(0)],
  ["BF16", (bytes: Buffer) => Buffer.from([0, 0, bytes[0] ?? 0, bytes[1] ?? 0]).readFloatLE(0)],
  ["F16", (bytes: Buffer) => halfToNumber(bytes.readUInt16LE(0))],
]);

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
