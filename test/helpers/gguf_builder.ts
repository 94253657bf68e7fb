/** Writes GGUF files for tests, from the specification (ggml's docs/gguf.md) and independent of lib. */
import { writeFileSync } from "node:fs";

/** A metadata value with its GGUF type. */
export type MetadataValue =
  | { type: "u32"; value: number }
  | { type: "u64"; value: number }
  | { type: "i32"; value: number }
  | { type: "f32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; value: readonly string[] }
  | { type: "i32s"; value: readonly number[] }
  | { type: "f32s"; value: readonly number[] };

/** Tensor type ids of ggml.h, bitnet.cpp (I2_S, TL1, TL2), ik_llama.cpp (IQ*_BN) and PrismML's fork (PQ2_0, PTQ1_0). */
export const TENSOR_TYPE_IDS = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q8_0: 8,
  Q4_K: 12,
  Q6_K: 14,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  I2_S: 36,
  TL1: 38,
  TL2: 39,
  Q1_0: 41,
  Q2_0: 42,
  IQ1_BN: 134,
  IQ2_BN: 135,
  PQ2_0: 142,
  PTQ1_0: 143,
} as const;

/** A tensor to write. */
export interface TensorToWrite {
  name: string;
  type: keyof typeof TENSOR_TYPE_IDS;
  /** Slowest dimension first: [rows, columns], or [length]. */
  shape: readonly number[];
  bytes: Buffer;
}

/** The whole of a file. */
export interface GgufToWrite {
  version?: 2 | 3;
  /** Of tensor data, in bytes; written as general.alignment unless it is the default, 32. */
  alignment?: number;
  metadata: Readonly<Record<string, MetadataValue>>;
  tensors: readonly TensorToWrite[];
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u64(bytes.length), bytes]);
}

function list(typeId: number, items: readonly Buffer[]): Buffer {
  return Buffer.concat([u32(9), u32(typeId), u64(items.length), ...items]);
}

/** A value behind its type id. */
function encodeValue(value: MetadataValue): Buffer {
  switch (value.type) {
    case "u32":
      return Buffer.concat([u32(4), u32(value.value)]);
    case "u64":
      return Buffer.concat([u32(10), u64(value.value)]);
    case "i32":
      return Buffer.concat([u32(5), i32(value.value)]);
    case "f32":
      return Buffer.concat([u32(6), f32(value.value)]);
    case "bool":
      return Buffer.concat([u32(7), Buffer.from([value.value ? 1 : 0])]);
    case "string":
      return Buffer.concat([u32(8), text(value.value)]);
    case "strings":
      return list(8, value.value.map(text));
    case "i32s":
      return list(5, value.value.map(i32));
    case "f32s":
      return list(6, value.value.map(f32));
  }
}

function padding(length: number, alignment: number): Buffer {
  return Buffer.alloc((alignment - (length % alignment)) % alignment);
}

/** The bytes of a GGUF file. Nothing is checked: tests also build wrong files with it. */
export function buildGguf(gguf: GgufToWrite): Buffer {
  const alignment = gguf.alignment ?? 32;
  const metadata: Record<string, MetadataValue> = { ...gguf.metadata };
  if (alignment !== 32) metadata["general.alignment"] = { type: "u32", value: alignment };

  const data: Buffer[] = [];
  let offset = 0;
  const infos = gguf.tensors.map((tensor) => {
    const dimensions = [...tensor.shape].reverse().map(u64);
    const id = TENSOR_TYPE_IDS[tensor.type];
    const info = Buffer.concat([text(tensor.name), u32(dimensions.length), ...dimensions, u32(id), u64(offset)]);
    const padded = Buffer.concat([tensor.bytes, padding(tensor.bytes.length, alignment)]);
    data.push(padded);
    offset += padded.length;
    return info;
  });
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    u32(gguf.version ?? 3),
    u64(gguf.tensors.length),
    u64(Object.keys(metadata).length),
    ...Object.entries(metadata).map(([key, value]) => Buffer.concat([text(key), encodeValue(value)])),
    ...infos,
  ]);
  return Buffer.concat([header, padding(header.length, alignment), ...data]);
}

/** Writes a GGUF file; see `buildGguf`. */
export function writeGguf(path: string, gguf: GgufToWrite): void {
  writeFileSync(path, buildGguf(gguf));
}
