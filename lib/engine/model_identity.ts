import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { ModelSpec } from "../../types/addon";

/** How much of each file is read: this many pieces, at equal distances. */
const PIECES = 64;
const PIECE_BYTES = 4096;

/**
 * What tells models apart, as hex digits: the description of all tensors, sizes of the files, and pieces of their bytes.
 * Where the files lie does not count.
 */
export async function identityOf(spec: ModelSpec): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ ...spec, files: spec.files.length }));
  for (const path of spec.files) {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      hash.update(`\n${size}\n`);
      const piece = Buffer.alloc(PIECE_BYTES);
      for (let i = 0; i < PIECES; i++) {
        const position = Math.floor((i * Math.max(size - PIECE_BYTES, 0)) / (PIECES - 1));
        const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, position);
        hash.update(piece.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest("hex");
}
