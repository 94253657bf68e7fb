/** Ids and logits by falling logit; equal logits by rising id. */
export interface Ranked {
  ids: Int32Array;
  logits: Float32Array;
}

/** Ids are packed into a key beside the 32 bits of a logit, and doubles hold integers up to 2^53. */
const ID_RANGE = 2 ** 21;

/** Sorting by comparison is faster up to this many. */
const SORTED_BY_COMPARISON = 4096;

/**
 * The `count` greatest logits (all, if there are fewer), ranked: a histogram over their upper 16 bits finds the least that can
 * be among them, so that only few need sorting.
 *
 * @param logits at most 2^21; no NaN
 */
export function selectTop(logits: Float32Array, count: number): Ranked {
  const bits = new Int32Array(logits.buffer, logits.byteOffset, logits.length);
  const { bucket, reached } = lastBucket(bits, count);
  const length = Math.min(count, reached);
  const ids = reached > SORTED_BY_COMPARISON ? radixSorted(bits, bucket, reached) : sorted(bits, bucket, reached);
  const ranked = { ids: ids.slice(0, length), logits: new Float32Array(length) };
  for (let i = 0; i < length; i++) ranked.logits[i] = logits[ids[i]!]!;
  return ranked;
}

/** The ids up to a bucket, ranked. */
function sorted(bits: Int32Array, bucket: number, reached: number): Int32Array {
  const keys = new Float64Array(reached);
  let next = 0;
  for (let id = 0; id < bits.length; id++) {
    const rank = rankBits(bits[id]!);
    if (rank >>> 16 <= bucket) keys[next++] = (rank >>> 0) * ID_RANGE + id;
  }
  keys.sort();
  return Int32Array.from(keys, (key) => key % ID_RANGE);
}

/** Digits of `radixSorted`: 11, 11 and 10 bits, the lowest first. */
const DIGITS = [
  { shift: 0, values: 2048 },
  { shift: 11, values: 2048 },
  { shift: 22, values: 1024 },
] as const;

/** Ranks and ids before and behind a pass of `radixSorted`; kept, because they are needed again with the next token. */
let passes = [new Int32Array(0), new Int32Array(0)] as const;
let passIds = [new Int32Array(0), new Int32Array(0)] as const;

/** The same as `sorted`, digit by digit: ids rise at first, and each pass keeps the order of equal digits. */
function radixSorted(bits: Int32Array, bucket: number, reached: number): Int32Array {
  if (passes[0].length < reached) {
    passes = [new Int32Array(reached), new Int32Array(reached)];
    passIds = [new Int32Array(reached), new Int32Array(reached)];
  }
  const starts = DIGITS.map(({ values }) => new Uint32Array(values));
  const [low, middle, high] = starts as [Uint32Array, Uint32Array, Uint32Array];
  let [from, to] = passes;
  let [fromIds, toIds] = passIds;
  let next = 0;
  for (let id = 0; id < bits.length; id++) {
    const rank = rankBits(bits[id]!);
    if (rank >>> 16 > bucket) continue;
    from[next] = rank;
    fromIds[next++] = id;
    low[rank & 2047]!++;
    middle[(rank >>> 11) & 2047]!++;
    high[rank >>> 22]!++;
  }
  for (const [pass, { shift, values }] of DIGITS.entries()) {
    const places = starts[pass]!;
    let place = 0;
    for (let digit = 0; digit < values; digit++) {
      const many = places[digit]!;
      places[digit] = place;
      place += many;
    }
    for (let i = 0; i < reached; i++) {
      const rank = from[i]!;
      const at = places[(rank >>> shift) & (values - 1)]!++;
      to[at] = rank;
      toIds[at] = fromIds[i]!;
    }
    [from, to] = [to, from];
    [fromIds, toIds] = [toIds, fromIds];
  }
  return fromIds;
}

/** Lists up to this long are sorted whole, which takes less than to count them. */
const SORTED_WHOLE = 2048;

/** The bucket (upper 16 bits of `rankBits`) in which the last of the `count` greatest is, and how many there are up to it. */
function lastBucket(bits: Int32Array, count: number): { bucket: number; reached: number } {
  if (bits.length <= Math.max(SORTED_WHOLE, count)) return { bucket: 0xffff, reached: bits.length };
  const histogram = new Uint32Array(1 << 16);
  for (const value of bits) histogram[rankBits(value) >>> 16]!++;
  let bucket = 0;
  let reached = histogram[0]!;
  while (reached < count && bucket < 0xffff) reached += histogram[++bucket]!;
  return { bucket, reached };
}

/** Bits of a float as an unsigned integer (in a signed one) that rises as the float falls; both zeros are one number. */
function rankBits(bits: number): number {
  if (bits === -0x80000000) return 0x7fffffff;
  return bits ^ (0x7fffffff & ~(bits >> 31));
}
