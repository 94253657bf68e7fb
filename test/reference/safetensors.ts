/** Hugging Face safetensors: a length, a JSON header, then the bytes. */
import { readFileSync } from "node:fs";
import type { StoredTensor } from "./weights";

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Every tensor of a safetensors file by name. */
export function readSafetensors(path: string): Map<string, StoredTensor> {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerLength)) as Record<string, Entry>;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = entry.data_offsets;
    const bytes = file.subarray(8 + headerLength + begin, 8 + headerLength + end);
    tensors.set(name, { name, format: entry.dtype, shape: entry.shape, bytes });
  }
  return tensors;
}
