/** Random weights in the formats of GGUF files, written from the formats' definitions. */
import { blockTensor, type BlockType } from "./block_writers";
import { normal } from "./random";
import type { TensorToWrite } from "./gguf_builder";

/** Formats a dense matrix can be written in. */
export type DenseFormat = "F32" | "F16" | "BF16" | "Q8_0" | "Q6_K" | "Q4_K" | Exclude<BlockType, "Q8_0">;

/** I2_S bytes of ternary codes (-1, 0, 1): blocks of 128 in 32 bytes, then the scale and 28 zero bytes. */
export function i2sBytes(codes: ArrayLike<number>, scale: number): Buffer {
  if (codes.length % 128 !== 0) throw new Error(`I2_S holds multiples of 128 values, not ${codes.length}`);
  const bytes = Buffer.alloc(codes.length / 4 + 32);
  for (let block = 0; block < codes.length / 128; block++) {
    for (let p = 0; p < 32; p++) {
      let byte = 0;
      for (let group = 0; group < 4; group++) {
        byte = (byte << 2) | (codes[block * 128 + group * 32 + p]! + 1);
      }
      bytes[block * 32 + p] = byte;
    }
  }
  bytes.writeFloatLE(scale, codes.length / 4);
  return bytes;
}

/** A random ternary matrix, a third of it zeros, scaled so that it keeps the variance of what passes through. */
export function randomTernary(name: string, rows: number, columns: number, random: () => number): TensorToWrite {
  const codes = new Int8Array(rows * columns);
  // Millions of values: jest makes each look at a global slow.
  const { floor } = Math;
  for (let i = 0; i < codes.length; i++) codes[i] = floor(random() * 3) - 1;
  const scale = (0.7 + 0.6 * random()) / Math.sqrt((columns * 2) / 3);
  return { name, type: "I2_S", shape: [rows, columns], bytes: i2sBytes(codes, scale) };
}

/** A vector of norm weights around 1, stored as F32. */
export function randomNorm(name: string, length: number, random: () => number): TensorToWrite {
  const next = normal(random);
  const bytes = Buffer.alloc(length * 4);
  for (let i = 0; i < length; i++) bytes.writeFloatLE(1 + 0.1 * next(), i * 4);
  return { name, type: "F32", shape: [length], bytes };
}

/** Bits of a random normal binary16 number of either sign with an exponent from `low` to `low + 3`. */
function randomHalf(low: number, random: () => number): number {
  const exponent = low + Math.floor(random() * 4);
  return (random() < 0.5 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.floor(random() * 1024);
}

/** A random dense matrix with values of about 0.25, made of bytes directly so that no rounding is involved. */
export function randomDense(
  name: string,
  type: DenseFormat,
  rows: number,
  columns: number,
  random: () => number,
): TensorToWrite {
  const count = rows * columns;
  const byte = (): number => Math.floor(random() * 256);
  const unsigned = (bits: number): number => bits & 0x7fff;
  let bytes: Buffer;
  switch (type) {
    case "F32": {
      const next = normal(random);
      bytes = Buffer.alloc(count * 4);
      for (let i = 0; i < count; i++) bytes.writeFloatLE(0.25 * next(), i * 4);
      break;
    }
    case "F16":
      bytes = Buffer.alloc(count * 2);
      for (let i = 0; i < count; i++) bytes.writeUInt16LE(randomHalf(-5, random), i * 2);
      break;
    case "BF16": {
      const next = normal(random);
      bytes = Buffer.alloc(count * 2);
      const single = Buffer.alloc(4);
      for (let i = 0; i < count; i++) {
        single.writeFloatLE(0.25 * next());
        bytes.writeUInt16LE(single.readUInt16LE(2), i * 2);
      }
      break;
    }
    case "Q8_0":
      if (columns % 32 !== 0) throw new Error(`Q8_0 needs columns in multiples of 32, not ${columns}`);
      bytes = Buffer.from(Array.from({ length: (count / 32) * 34 }, byte));
      for (let at = 0; at < bytes.length; at += 34) bytes.writeUInt16LE(unsigned(randomHalf(-10, random)), at);
      break;
    case "Q6_K":
      if (columns % 256 !== 0) throw new Error(`Q6_K needs columns in multiples of 256, not ${columns}`);
      bytes = Buffer.from(Array.from({ length: (count / 256) * 210 }, byte));
      for (let at = 0; at < bytes.length; at += 210) bytes.writeUInt16LE(unsigned(randomHalf(-15, random)), at + 208);
      break;
    case "Q4_K":
      if (columns % 256 !== 0) throw new Error(`Q4_K needs columns in multiples of 256, not ${columns}`);
      bytes = Buffer.from(Array.from({ length: (count / 256) * 144 }, byte));
      for (let at = 0; at < bytes.length; at += 144) {
        bytes.writeUInt16LE(unsigned(randomHalf(-12, random)), at);
        bytes.writeUInt16LE(unsigned(randomHalf(-10, random)), at + 2);
      }
      break;
    default:
      return randomBlocks(name, type, rows, columns, random);
  }
  return { name, type, shape: [rows, columns], bytes };
}

/** Scales of about 0.25 over the integers that the type has. */
function randomBlocks(
  name: string,
  type: Exclude<BlockType, "Q8_0">,
  rows: number,
  columns: number,
  random: () => number,
): TensorToWrite {
  const codes = Int8Array.from({ length: rows * columns }, () => {
    if (type === "Q4_0") return Math.floor(random() * 16) - 8;
    return type === "Q1_0" ? 2 * Math.floor(random() * 2) - 1 : Math.floor(random() * 3) - 1;
  });
  const low = type === "Q4_0" ? -7 : -4;
  return blockTensor(name, type, { codes, columns, scale: () => randomHalf(low, random) & 0x7fff });
}
