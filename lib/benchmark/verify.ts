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

/** A test for bit patterns that are no finite numbers: exponent bits all set. */
const NOT_FINITE: Readonly<Record<string, { bytes: 2 | 4; mask: number }>> = {
  f32: { bytes: 4, mask: 0x7f800000 },
  f16: { bytes: 2, mask: 0x7c00 },
  bf16: { bytes: 2, mask: 0x7f80 },
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
  const dense = [...specTensors(spec)].filter(({ format }) => Object.hasOwn(NOT_FINITE, format));
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
    const { bytes, mask } = NOT_FINITE[format] ?? { bytes: 4, mask: 0x7f800000 };
    for await (const piece of pieces(files[file] ?? "", offset, byteLength, signal)) {
      const words =
        bytes === 2
          ? new Uint16Array(piece.buffer, piece.byteOffset, piece.length / 2)
          : new Uint32Array(piece.buffer, piece.byteOffset, piece.length / 4);
      for (const word of words) {
        if ((word & mask) === mask)
          throw new ModelFormatError(`Tensor "${name}" holds a value that is not a finite number.`);
      }
      values += words.length;
    }
  }
  return `${values} values of ${tensors.length} dense tensors are finite numbers.`;
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

async function* pieces(
  path: string,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const handle = await open(path, "r");
  try {
    for (let at = 0; at < length;) {
      if (signal?.aborted) throw new AbortError("Verification was aborted.", { cause: signal.reason });
      // Memory of its own: pooled memory need not be aligned.
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, length - at));
      const { bytesRead } = await handle.read(piece, 0, piece.length, offset + at);
      if (bytesRead === 0) throw new ModelFormatError(`"${path}" ended while it was being read.`);
      yield piece.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}
