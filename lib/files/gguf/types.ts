/** GGUF's own vocabulary: value types, parsed metadata, tensors. Spec: ggml's docs/gguf.md, versions 2 and 3. */

import type { StringList } from "./string_table";

/** Names of the metadata value types, at the index GGUF numbers them with. */
export const VALUE_TYPES = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;

/** Type of a metadata value. */
export type GgufValueType = (typeof VALUE_TYPES)[number];

/** Elements of a numeric metadata array. */
export type GgufNumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A metadata array. Nested arrays keep their own element types. */
export type GgufArray = GgufNumberArray | boolean[] | StringList | GgufValue[];

/**
 * A metadata value with the type the file gives it. 64-bit integers are numbers where a number holds them exactly, else
 * bigint; in arrays they are always bigint.
 */
export type GgufValue =
  | { readonly type: Exclude<GgufValueType, "array">; readonly value: number | bigint | boolean | string }
  | { readonly type: "array"; readonly elementType: GgufValueType; readonly value: GgufArray };

/** A tensor of the file; its bytes are not read. */
export interface GgufTensor {
  readonly name: string;
  /** Elements per dimension, fastest first: a matrix is [columns, rows]. One to four dimensions. */
  readonly dims: readonly number[];
  /** ggml's type id, as stored. */
  readonly typeId: number;
  /** Weight format by name, "f16" for example; "unknown-<id>" only where the reader was asked to allow it. */
  readonly format: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes that belong to the tensor, padding excluded. */
  readonly byteLength: number;
}

/** The header of a GGUF file. */
export interface GgufFile {
  /** Absolute path. */
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  readonly version: 2 | 3;
  /** Alignment of tensor data in bytes, a power of two. */
  readonly alignment: number;
  /** Start of the tensor data in bytes from the start of the file. */
  readonly dataOffset: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the file. */
  readonly tensors: readonly GgufTensor[];
  readonly tensorsByName: ReadonlyMap<string, GgufTensor>;
}
