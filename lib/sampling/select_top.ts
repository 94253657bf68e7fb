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
  const histogram = new Uint32Array(1 << 16);
  for (const value of bits) histogram[rankBits(value) >>> 16]!++;
  let bucket = 0;
  let reached = histogram[0]!;
  while (reached < count && bucket < 0xffff) reached += histogram[++bucket]!;
  const keys = new Float64Array(reached);
  let next = 0;
  for (let id = 0; id < bits.length; id++) {
    const rank = rankBits(bits[id]!);
    if (rank >>> 16 <= bucket) keys[next++] = rank * ID_RANGE + id;
  }
  keys.sort();
  const length = Math.min(count, reached);
  const ids = new Int32Array(length);
  for (let i = 0; i < length; i++) ids[i] = keys[i]! % ID_RANGE;
  return { ids, logits: Float32Array.from(ids, (id) => logits[id]!) };
}

/** Bits of a float as an integer that rises as the float falls; both zeros are one number. */
function rankBits(bits: number): number {
  if (bits === 0x80000000) return 0x7fffffff;
  return (bits & 0x80000000) === 0 ? 0x7fffffff - bits : bits;
}
