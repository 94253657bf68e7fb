/** Ids and logits by falling logit; equal logits by rising id. */
export interface Ranked {
  ids: Int32Array;
  logits: Float32Array;
}

/** Ids are packed into a key beside the 32 bits of a logit, and doubles hold integers up to 2^53. */
const ID_RANGE = 2 ** 21;

/**
 * The `count` greatest logits (all, if there are fewer), ranked: a histogram over their upper 16 bits finds the least that can
 * be among them, so that only few need sorting.
 *
 * @param logits at most 2^21; no NaN
 */
export function selectTop(logits: Float32Array, count: number): Ranked {
  const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
  const { bucket, reached } = lastBucket(bits, count);
  const keys = new Float64Array(reached);
  let next = 0;
  for (let id = 0; id < bits.length; id++) {
    const rank = rankBits(bits[id]!);
    if (rank >>> 16 <= bucket) keys[next++] = rank * ID_RANGE + id;
  }
  keys.sort();
  const length = Math.min(count, reached);
  const ids = new Int32Array(length);
  const ranked = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    ids[i] = keys[i]! % ID_RANGE;
    ranked[i] = logits[ids[i]!]!;
  }
  return { ids, logits: ranked };
}

/** Lists up to this long are sorted whole, which takes less than to count them. */
const SORTED_WHOLE = 2048;

/** The bucket (upper 16 bits of `rankBits`) in which the last of the `count` greatest is, and how many there are up to it. */
function lastBucket(bits: Uint32Array, count: number): { bucket: number; reached: number } {
  if (bits.length <= SORTED_WHOLE) return { bucket: 0xffff, reached: bits.length };
  const histogram = new Uint32Array(1 << 16);
  for (const value of bits) histogram[rankBits(value) >>> 16]!++;
  let bucket = 0;
  let reached = histogram[0]!;
  while (reached < count && bucket < 0xffff) reached += histogram[++bucket]!;
  return { bucket, reached };
}

/** Bits of a float as an integer that rises as the float falls; both zeros are one number. */
function rankBits(bits: number): number {
  if (bits === 0x80000000) return 0x7fffffff;
  return (bits & 0x80000000) === 0 ? 0x7fffffff - bits : bits;
}
