/** GGUF, version 2 and 3, little-endian: just enough to read trusted test files. */
import { readFileSync } from "node:fs";
import type { StoredTensor } from "./weights";

/** A metadata value. 64-bit integers become numbers. */
export type GgufValue = number | boolean | string | GgufValue[];

/** A parsed file: its metadata and tensors by name. */
export interface GgufFile {
  metadata: Map<string, GgufValue>;
  tensors: Map<string, StoredTensor>;
}

/** Type ids of ggml.h, and 36 of bitnet.cpp, with the bytes `count` elements take. */
const TENSOR_TYPES: Record<number, { format: string; bytes: (count: number, columns: number) => number }> = {
  0: { format: "F32", bytes: (count) => count * 4 },
  1: { format: "F16", bytes: (count) => count * 2 },
  8: { format: "Q8_0", bytes: (count) => (count / 32) * 34 },
  12: { format: "Q4_K", bytes: (count) => (count / 256) * 144 },
  14: { format: "Q6_K", bytes: (count) => (count / 256) * 210 },
  30: { format: "BF16", bytes: (count) => count * 2 },
  36: { format: "I2_S", bytes: (count) => count / 4 + 32 },
  2: { format: "Q4_0", bytes: (count) => (count / 32) * 18 },
  34: { format: "TQ1_0", bytes: (count) => (count / 256) * 54 },
  35: { format: "TQ2_0", bytes: (count) => (count / 256) * 66 },
  41: { format: "Q1_0", bytes: (count) => (count / 128) * 18 },
  // The layout of llama.cpp; PrismML's blocks of 128 go under PQ2_0's id here.
  42: { format: "Q2_0", bytes: (count) => (count / 64) * 18 },
  142: { format: "PQ2_0", bytes: (count) => (count / 128) * 34 },
  143: { format: "PTQ1_0", bytes: (count) => (count / 128) * 28 },
  // This package's own: a float32 scale and five weights a byte, row by row.
  21557: { format: "T5", bytes: (count, columns) => (count / columns) * (4 + Math.ceil(columns / 5)) },
};

class Cursor {
  position = 0;
  constructor(readonly file: Buffer) {}

  private take(length: number): number {
    const at = this.position;
    this.position += length;
    return at;
  }
  u32(): number {
    return this.file.readUInt32LE(this.take(4));
  }
  u64(): number {
    return Number(this.file.readBigUInt64LE(this.take(8)));
  }
  string(): string {
    const length = this.u64();
    const at = this.take(length);
    return this.file.toString("utf8", at, at + length);
  }

  value(type: number): GgufValue {
    switch (type) {
      case 0:
        return this.file.readUInt8(this.take(1));
      case 1:
        return this.file.readInt8(this.take(1));
      case 2:
        return this.file.readUInt16LE(this.take(2));
      case 3:
        return this.file.readInt16LE(this.take(2));
      case 4:
        return this.u32();
      case 5:
        return this.file.readInt32LE(this.take(4));
      case 6:
        return this.file.readFloatLE(this.take(4));
      case 7:
        return this.file.readUInt8(this.take(1)) !== 0;
      case 8:
        return this.string();
      case 9: {
        const elementType = this.u32();
        const length = this.u64();
        return Array.from({ length }, () => this.value(elementType));
      }
      case 10:
        return this.u64();
      case 11:
        return Number(this.file.readBigInt64LE(this.take(8)));
      case 12:
        return this.file.readDoubleLE(this.take(8));
      default:
        throw new Error(`unknown metadata type ${type} at byte ${this.position}`);
    }
  }
}

/** Reads a GGUF file whole. */
export function readGguf(path: string): GgufFile {
  const cursor = new Cursor(readFileSync(path));
  if (cursor.u32() !== 0x46554747) throw new Error(`${path} is not GGUF`);
  const version = cursor.u32();
  if (version !== 2 && version !== 3) throw new Error(`${path}: GGUF version ${version}`);
  const tensorCount = cursor.u64();
  const metadataCount = cursor.u64();
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) metadata.set(cursor.string(), cursor.value(cursor.u32()));

  const infos = Array.from({ length: tensorCount }, () => {
    const name = cursor.string();
    // The file has the fastest dimension first.
    const shape = Array.from({ length: cursor.u32() }, () => cursor.u64()).reverse();
    return { name, shape, type: cursor.u32(), offset: cursor.u64() };
  });
  const alignment = Number(metadata.get("general.alignment") ?? 32);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;

  const tensors = new Map<string, StoredTensor>();
  for (const { name, shape, type, offset } of infos) {
    const known = TENSOR_TYPES[type];
    if (known === undefined) throw new Error(`${path}: tensor ${name} has type ${type}, unknown to the reference`);
    const length = known.bytes(
      shape.reduce((product, size) => product * size, 1),
      shape.at(-1) ?? 1,
    );
    const bytes = cursor.file.subarray(dataStart + offset, dataStart + offset + length);
    if (bytes.length !== length) throw new Error(`${path}: tensor ${name} is truncated`);
    tensors.set(name, { name, format: known.format, shape, bytes });
  }
  return { metadata, tensors };
}
