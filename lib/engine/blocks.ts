/** Positions in a block of the KV cache (see `ContextOptions.kvBlocks`). */
export const BLOCK_POSITIONS = 32;

/** Blocks that `positions` take. */
export function blocksFor(positions: number): number {
  return Math.ceil(positions / BLOCK_POSITIONS);
}
