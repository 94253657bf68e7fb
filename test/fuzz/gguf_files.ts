/** GGUF files for fuzzing: whole tiny models, and headers of any metadata and tensors. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";
import { apply, edgeNumber, edit, workFolder, type Edit } from "./target";

const SMALL = { heads: 2, kvHeads: 1, headDim: 16, width: 128, ffn: 128, layers: 1 } satisfies TinyModelOptions;
const KINDS: readonly TinyModelOptions[] = [
  SMALL,
  { ...SMALL, architecture: "bitnet-25", embedding: "F32" },
  { ...SMALL, architecture: "bitnet", head: "F16", layers: 2 },
];

const written: Buffer[] = KINDS.map((kind, i) => {
  const path = join(workFolder(), `sound-${i}.gguf`);
  writeTinyModel(path, kind);
  return readFileSync(path);
});

/** One of a few sound models with changes, told so that a finding is short. */
export interface DamagedModel {
  kind: number;
  edits: Edit[];
}

export const damagedModels: fc.Arbitrary<DamagedModel> = fc.record({
  kind: fc.nat(KINDS.length - 1),
  edits: fc.array(edit, { maxLength: 4 }),
});

export function modelBytes({ kind, edits }: DamagedModel): Buffer {
  return edits.reduce(apply, written[kind % written.length] ?? Buffer.alloc(0));
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value % 2 ** 32);
  return bytes;
}

const KEYS = [
  "general.architecture",
  "general.alignment",
  "bitnet-b1.58.block_count",
  "bitnet-b1.58.vocab_size",
  "bitnet-b1.58.embedding_length",
  "bitnet-b1.58.attention.head_count",
  "tokenizer.ggml.model",
  "tokenizer.ggml.tokens",
  "tokenizer.ggml.merges",
  "tokenizer.ggml.token_type",
  "tokenizer.chat_template",
];

/** A string with a length of its own that may be wrong. */
const text = fc
  .tuple(
    fc.oneof(fc.constantFrom(...KEYS, "bitnet-b1.58", "gpt2", "llama"), fc.string()),
    fc.option(edgeNumber, { freq: 20 }),
  )
  .map(([value, length]) => Buffer.concat([u64(length ?? Buffer.byteLength(value)), Buffer.from(value)]));

const scalar = fc.tuple(fc.nat(14), edgeNumber).map(([type, value]) => {
  const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
  return Buffer.concat([u32(type), u64(value).subarray(0, sizes[type] ?? 8)]);
});

const { value: metadataValue } = fc.letrec<{ value: Buffer; array: Buffer }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    scalar,
    text.map((bytes) => Buffer.concat([u32(8), bytes])),
    tie("array"),
  ),
  array: fc
    .tuple(
      fc.constantFrom(0, 4, 5, 6, 7, 8, 9, 12, 13),
      fc.option(edgeNumber, { freq: 5 }),
      fc.array(text, { maxLength: 4 }),
      tie("value"),
    )
    .map(([type, count, texts, inner]) => {
      const items = type === 8 ? texts : [inner.subarray(4)];
      return Buffer.concat([u32(9), u32(type), u64(count ?? items.length), ...items]);
    }),
}));

const tensor = fc
  .tuple(
    text,
    fc.array(edgeNumber, { maxLength: 5 }),
    fc.oneof(fc.constantFrom(0, 1, 2, 8, 14, 30, 34, 35, 36, 41, 42, 134), fc.nat(200)),
    edgeNumber,
  )
  .map(([name, shape, type, offset]) =>
    Buffer.concat([name, u32(shape.length), ...shape.map(u64), u32(type), u64(offset)]),
  );

/** Headers of any contents, with counts that are mostly right. */
export const anyHeaders: fc.Arbitrary<Buffer> = fc
  .record({
    version: fc.constantFrom(3, 3, 3, 2, 1, 0x3000000),
    metadata: fc.array(fc.tuple(text, metadataValue), { maxLength: 6 }),
    tensors: fc.array(tensor, { maxLength: 4 }),
    keys: fc.option(edgeNumber, { freq: 10 }),
    count: fc.option(edgeNumber, { freq: 10 }),
    room: fc.nat(4096),
  })
  .map(({ version, metadata, tensors, keys, count, room }) =>
    Buffer.concat([
      Buffer.from("GGUF"),
      u32(version),
      u64(count ?? tensors.length),
      u64(keys ?? metadata.length),
      ...metadata.flat(),
      ...tensors,
      Buffer.alloc(room),
    ]),
  );
