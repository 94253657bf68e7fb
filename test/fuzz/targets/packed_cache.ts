import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { loadAddon } from "../../../lib/addon";
import { describeModel } from "../../../lib/architectures";
import { readGguf } from "../../../lib/files/gguf";
import type { ModelSpec, NativeModel } from "../../../types/addon";
import { writeTinyModel } from "../../helpers/tiny_model";
import { answered, apply, edgeNumber, edit, workFolder, type Edit, type Target } from "../target";

/** A number of the file's header or table in place of what stands there. */
interface Forgery {
  /** Which of the file's 64-bit numbers: of the header, then of the table. */
  at: number;
  value: number;
  /** Added to what stands there instead. */
  relative: boolean;
}

interface Input {
  edits: Edit[];
  forgeries: Forgery[];
  /** Bytes of pieces, the list of scales and groups more often: where, as a share of the piece, and what. */
  bytes: { piece: number; at: number; value: number }[];
  /** All checksums are made right again. */
  resealed: boolean;
  /** Weights stay in the file, but for so many bytes. */
  mapped: boolean;
  residentBytes: number;
}

const TABLE = 4096;
const CHUNK = 256 * 2 ** 10;

interface Ready {
  spec: ModelSpec;
  file: string;
  sound: Buffer;
  scores: string;
}

let ready: Promise<Ready> | undefined;

function load(
  { spec, file }: Pick<Ready, "spec" | "file">,
  mapped: boolean,
  residentBytes: number,
): Promise<NativeModel> {
  const cache = { path: file, key: "fuzzed", mapped, residentBytes };
  return loadAddon().loadModel(spec, { threads: 1, kernel: "scalar", head: "sketch", cache }).promise;
}

async function prepare(): Promise<Ready> {
  const path = join(workFolder(), "packed-model.gguf");
  writeTinyModel(path, { heads: 2, kvHeads: 1, headDim: 16, width: 128, ffn: 128, layers: 1 });
  const file = join(workFolder(), "packed-weights");
  const spec = describeModel(await readGguf(path));
  const model = await load({ spec, file }, true, 0);
  const scores = await answer(model);
  model.close();
  const sound = readFileSync(file);
  // Else every forged file would be refused for its checksums, and nothing behind them would be tried.
  const other = Buffer.from(sound);
  const { pieces } = piecesOf(other);
  const last = pieces.at(-1);
  if (last) other[last.offset + last.bytes - 1] = (other[last.offset + last.bytes - 1] ?? 0) ^ 1;
  reseal(other);
  writeFileSync(file, other);
  const forged = await load({ spec, file }, true, 0);
  if (!forged.fromCache) throw new Error("A resealed file is not taken: the format changed");
  forged.close();
  return { spec, file, sound, scores };
}

/** The best tokens behind a few others, with their logits. */
async function answer(model: NativeModel): Promise<string> {
  const options = { threads: 1, kvType: "f32", kvBlocks: 4, maxBatchTokens: 32, maxSequenceLength: 64 } as const;
  const context = model.createContext(options);
  try {
    const tokens = Int32Array.from([1, 2, 3, 4, 5, 6, 7]);
    const sequences = new Int32Array(tokens.length).fill(context.createSequence());
    const want = Uint8Array.from(tokens, (_, i) => (i === tokens.length - 1 ? 1 : 0));
    const { candidateIds, candidateLogits } = await context.forward({ tokens, sequences, want, candidates: 8 });
    return JSON.stringify([[...candidateIds], [...candidateLogits]]);
  } finally {
    context.close();
  }
}

const MASK = (1n << 64n) - 1n;
const PRIME = 0x9e3779b97f4a7c15n;
const low = (value: bigint): bigint => value & MASK;

function mix(value: bigint): bigint {
  const h = low((value ^ (value >> 32n)) * 0xd6e8feb86659fd93n);
  return h ^ (h >> 29n);
}

/** `checksum` of native/engine/packed_file.h, from its description. */
function checksum(bytes: Buffer): bigint {
  const lanes = Array.from({ length: 8 }, (_, i) => low(BigInt(i + 1) * PRIME));
  let at = 0;
  for (; at + 64 <= bytes.length; at += 64) {
    for (let i = 0; i < 8; i++) {
      const h = low(((lanes[i] ?? 0n) ^ bytes.readBigUInt64LE(at + 8 * i)) * PRIME);
      lanes[i] = low((h << 29n) | (h >> 35n));
    }
  }
  const rest = Buffer.alloc(64);
  bytes.copy(rest, 0, at);
  let h = low(BigInt(bytes.length) * PRIME);
  for (let i = 0; i < 8; i++)
    h = low(mix(h ^ mix(low(((lanes[i] ?? 0n) ^ rest.readBigUInt64LE(8 * i)) * PRIME))) * PRIME);
  return mix(h);
}

/** Where a table's pieces begin and how long they are, as far as it can be read; `sums`: where their checksums stand. */
function piecesOf(file: Buffer): { pieces: { offset: number; bytes: number; sums: number }[]; end: number } {
  const pieces = [];
  let at = TABLE;
  const count = Number(file.readBigUInt64LE(16));
  for (let i = 0; i < Math.min(count, 1000) && at + 16 <= file.length; i++) {
    const [offset, bytes] = [Number(file.readBigUInt64LE(at)), Number(file.readBigUInt64LE(at + 8))];
    pieces.push({ offset, bytes, sums: at + 16 });
    at += 16 + 8 * Math.ceil(bytes / CHUNK);
  }
  return { pieces, end: at };
}

function reseal(file: Buffer): void {
  const { pieces, end } = piecesOf(file);
  if (end > file.length) return;
  for (const { offset, bytes, sums } of pieces) {
    for (let begin = 0, at = sums; begin < bytes; begin += CHUNK, at += 8) {
      const chunk = file.subarray(offset + begin, Math.min(offset + bytes, offset + begin + CHUNK));
      if (at + 8 <= end) file.writeBigUInt64LE(checksum(chunk), at);
    }
  }
  file.writeBigUInt64LE(checksum(file.subarray(TABLE, end)), 24);
}

function damagedFile(sound: Buffer, { edits, forgeries, bytes, resealed }: Input): Buffer {
  const file = Buffer.from(edits.reduce(apply, sound));
  if (file.length < TABLE + 16) return file;
  const { pieces, end } = piecesOf(sound);
  for (const { piece, at, value } of bytes) {
    const place = pieces[piece % pieces.length];
    const position = (place?.offset ?? 0) + Math.floor(at * (place?.bytes ?? 0));
    if (position < file.length) file[position] = value % 256;
  }
  const numbers = [8, 16, 24, 32, ...Array.from({ length: (end - TABLE) / 8 }, (_, i) => TABLE + 8 * i)];
  for (const { at, value, relative } of forgeries) {
    const position = numbers[at % numbers.length] ?? 8;
    if (position + 8 > file.length) continue;
    const before = relative ? file.readBigUInt64LE(position) : 0n;
    file.writeBigUInt64LE(low(before + BigInt(value)), position);
  }
  if (resealed) reseal(file);
  return file;
}

/** The packed cache: a damaged file gives the same bits as none; a forged one ends nothing and reads nothing beyond. */
export const packedCacheTarget: Target<Input> = {
  name: "packed-cache",
  covers: ["lib/addon.ts"],
  weight: 2,
  inputs: fc.record({
    edits: fc.oneof({ weight: 3, arbitrary: fc.constant<Edit[]>([]) }, fc.array(edit, { maxLength: 2 })),
    forgeries: fc.array(
      fc.record({
        at: fc.nat(40),
        value: fc.oneof(edgeNumber, fc.constantFrom(64, 4096, 65536, -64, -65536, -1)),
        relative: fc.boolean(),
      }),
      { maxLength: 2 },
    ),
    bytes: fc.array(
      fc.record({
        piece: fc.oneof(fc.constant(0), fc.nat(20)),
        at: fc.double({ min: 0, max: 0.999, noNaN: true }),
        value: fc.nat(255),
      }),
      { maxLength: 4 },
    ),
    resealed: fc.boolean(),
    mapped: fc.boolean(),
    residentBytes: fc.constantFrom(0, 10_000, 2 ** 40),
  }),
  async check(input) {
    const made = await (ready ??= prepare());
    writeFileSync(made.file, damagedFile(made.sound, input));
    // A file that is of no use is no error.
    const model = await load(made, input.mapped, input.residentBytes);
    try {
      const found = await answered(() => answer(model));
      // Right checksums over other weights are other weights.
      if (!input.resealed && found !== made.scores) throw new Error("The logits changed");
    } finally {
      model.close();
    }
  },
};
