/**
 * bitnet.cpp's I2_S: codes 0, 1, 2 for -1, 0, +1; each 128 consecutive values of the row-major matrix take 32 bytes, byte
 * p holding values p, 32 + p, 64 + p and 96 + p from the high bits down. Behind the codes one f32 scale and 28 zero bytes.
 */

/** Values in one block. */
export const I2S_BLOCK = 128;

/** Bytes of one block. */
const I2S_BLOCK_BYTES = 32;

/** Packs codes (0, 1, 2); the length of `codes` must be a multiple of 128. Returns a quarter as many bytes. */
export function packI2sCodes(codes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(codes.length / 4);
  for (let block = 0, out = 0; block < codes.length; block += I2S_BLOCK) {
    for (let p = block; p < block + I2S_BLOCK_BYTES; p++) {
      packed[out++] =
        ((codes[p] ?? 0) << 6) | ((codes[p + 32] ?? 0) << 4) | ((codes[p + 64] ?? 0) << 2) | (codes[p + 96] ?? 0);
    }
  }
  return packed;
}

/** The 32 bytes behind the codes. */
export function i2sTail(scale: number): Uint8Array {
  const tail = new Uint8Array(32);
  new DataView(tail.buffer).setFloat32(0, scale, true);
  return tail;
}
