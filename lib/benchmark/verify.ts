import { createHash } from "node:crypto";
import { open, realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import type { ModelSpec, TensorRef } from "../../types/addon";
import { describeModel, specTensors } from "../architectures";
import { AbortError, BitnetError, ModelFormatError } from "../errors";
import { readGguf } from "../files/gguf";
import { Model } from "../model";

/** One thing that was looked at. */
export interface Finding {
  check: "header" | "hash" | "dense values" | "ternary weights" | "generation";
  ok: boolean;
  /** What was found, in a sentence. */
  detail: string;
}

/** Options of `verifyModel`. */
export interface VerifyOptions {
  signal?: AbortSignal;
  /** Called with the name of each check as it begins. */
  onCheck?: (check: Finding["check"]) => void;
  /** SHA-256 that the file should have, in hexadecimal. */
  sha256?: string;
}

const PIECE_BYTES = 1 << 20;
const SMOKE_TOKENS = 48;

/** The floating-point numbers of an embedding, head or norm: what must not be all set in their exponents. */
interface Floats {
  mask: number;
  /** Bytes of a number. */
  size: 2 | 4;
  /** Bytes from one block to the next, and where in it numbers are; plain floats are blocks of one. */
  block: number;
  at: readonly number[];
}

const halves = (block: number, ...at: number[]): Floats => ({ mask: 0x7c00, size: 2, block, at });

const FLOATS: Readonly<Record<string, Floats>> = {
  f32: { mask: 0x7f800000, size: 4, block: 4, at: [0] },
  f16: halves(2, 0),
  bf16: { mask: 0x7f80, size: 2, block: 2, at: [0] },
  q8_0: halves(34, 0),
  q6_k: halves(210, 208),
  q4_k: halves(144, 0, 2),
  q4_0: halves(18, 0),
  q1_0: halves(18, 0),
  q2_0_g64: halves(18, 0),
  q2_0_g128: halves(34, 0),
  pq2_0: halves(34, 0),
  ptq1_0: halves(28, 26),
  tq1_0: halves(54, 52),
  tq2_0: halves(66, 64),
};

/**
 * Looks through a GGUF file: its header and shapes, its hash where one is known, dense values and ternary codes and
 * scales, and a short text. Checks that cannot be made because an earlier one failed are left out.
 * @throws AbortError; everything else becomes a finding
 */
export async function verifyModel(path: string, options: VerifyOptions = {}): Promise<Finding[]> {
  const { signal, onCheck } = options;
  const findings: Finding[] = [];
  const look = async (check: Finding["check"], work: () => Promise<string>): Promise<boolean> => {
    onCheck?.(check);
    try {
      findings.push({ check, ok: true, detail: await work() });
      return true;
    } catch (error) {
      if (!(error instanceof BitnetError) || error instanceof AbortError) throw error;
      findings.push({ check, ok: false, detail: error.message });
      return false;
    }
  };
  let spec: ModelSpec | undefined;
  const sound = await look("header", async () => {
    const file = await readGguf(path, signal ? { signal } : {});
    spec = describeModel(file);
    return `${file.tensors.length} tensors of ${spec.architecture}, all where shapes and file size want them.`;
  });
  await look("hash", () => checkHash(path, options));
  if (!sound || spec === undefined) return findings;
  const { files } = spec;
  // Linear layers' are looked at while they are packed.
  const linear = new Set(
    spec.layers.flatMap(({ q, k, v, attnOutput, gate, up, down }) => [q, k, v, attnOutput, gate, up, down]),
  );
  const dense = [...specTensors(spec)].filter((ref) => !linear.has(ref) && Object.hasOwn(FLOATS, ref.format));
  await look("dense values", () => checkDense(files, dense, signal));
  let model: Model | undefined;
  try {
    await look("ternary weights", async () => {
      model = await Model.load(path, signal ? { signal } : {});
      return "Every code is one of three, every scale a finite number.";
    });
    const loaded = model;
    if (loaded) await look("generation", () => checkGeneration(loaded, signal));
  } finally {
    await model?.close();
  }
  return findings;
}

async function checkHash(path: string, { sha256, signal }: VerifyOptions): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of pieces(path, 0, (await stat(path)).size, signal)) hash.update(piece);
  const found = hash.digest("hex");
  // In the Hub's cache a file is a link to a blob that is called by its hash.
  const blob = basename(await realpath(path));
  const expected = sha256?.toLowerCase() ?? (/^[0-9a-f]{64}$/.test(blob) ? blob : undefined);
  if (expected === undefined) return `SHA-256 is ${found}; nothing says what it should be.`;
  if (expected === found) return `SHA-256 is ${found}, as it should be.`;
  throw new ModelFormatError(`SHA-256 is ${found}, but should be ${expected}: the file is damaged. Get it again.`);
}

async function checkDense(
  files: readonly string[],
  tensors: readonly TensorRef[],
  signal: AbortSignal | undefined,
): Promise<string> {
  let values = 0;
  for (const { file, offset, byteLength, format, name } of tensors) {
    const { mask, size, block, at } = FLOATS[format] ?? halves(2, 0);
    for await (const piece of pieces(files[file] ?? "", offset, byteLength, signal, block)) {
      for (let start = 0; start < piece.length; start += block) {
        for (const place of at) {
          const word = size === 2 ? piece.readUInt16LE(start + place) : piece.readUInt32LE(start + place);
          if ((word & mask) !== mask) continue;
          throw new ModelFormatError(`Tensor "${name}" holds a value that is not a finite number.`);
        }
      }
      values += (piece.length / block) * at.length;
    }
  }
  return `${values} values and scales of ${tensors.length} dense tensors are finite numbers.`;
}

/** Greedy text from nothing: a sound model's is no endless repetition of one token, and finite. */
async function checkGeneration(model: Model, signal: AbortSignal | undefined): Promise<string> {
  const { text, tokens } = await model.generate("Once upon a time", {
    temperature: 0,
    maxTokens: SMOKE_TOKENS,
    ...(signal ? { signal } : {}),
  });
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
  const different = new Set(tokens).size;
  if (tokens.length >= SMOKE_TOKENS / 2 && different <= 2) {
    throw new ModelFormatError(
      `${tokens.length} tokens of greedy text are ${different} different ones: ${shown}. The weights or the tokenizer are ` +
        `probably wrong.`,
    );
  }
  return `${tokens.length} tokens of greedy text, ${different} different ones: ${shown}.`;
}

/** @param block pieces are whole multiples of it */
async function* pieces(
  path: string,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
  block = 1,
): AsyncGenerator<Buffer> {
  const handle = await open(path, "r");
  try {
    for (let at = 0; at < length;) {
      if (signal?.aborted) throw new AbortError("Verification was aborted.", { cause: signal.reason });
      const piece = Buffer.alloc(Math.min(PIECE_BYTES - (PIECE_BYTES % block), length - at));
      for (let read = 0; read < piece.length;) {
        const { bytesRead } = await handle.read(piece, read, piece.length - read, offset + at + read);
        if (bytesRead === 0) throw new ModelFormatError(`"${path}" ended while it was being read.`);
        read += bytesRead;
      }
      yield piece;
      at += piece.length;
    }
  } finally {
    await handle.close();
  }
}
