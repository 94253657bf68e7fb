import type { Ranked } from "./select_top";

/** Which tokens may come next: of token `id` bit `id % 32` of word `id / 32`. */
export interface TokenMask {
  readonly words: Int32Array;
  /** Tokens that are allowed; at least 1. */
  readonly count: number;
}

/**
 * Masks that allow at most this many tokens are served with the logits of just these: of few always, and of more where a
 * decision may depend on all of them.
 */
export const MOST_LISTED = 1024;
export const FEW_LISTED = 64;

export function isAllowed({ words }: TokenMask, id: number): boolean {
  return ((words[id >>> 5]! >>> (id & 31)) & 1) === 1;
}

/** Allows a token in the words of a mask that is being made. */
export function allow(words: Int32Array, id: number): void {
  words[id >>> 5]! |= 1 << (id & 31);
}

/** The tokens that a mask allows, rising. */
export function allowedIds(mask: TokenMask): Int32Array {
  const ids = new Int32Array(mask.count);
  let next = 0;
  for (let word = 0; word < mask.words.length && next < ids.length; word++) {
    for (let bits = mask.words[word]!; bits !== 0; bits &= bits - 1) {
      ids[next++] = word * 32 + (31 - Math.clz32(bits & -bits));
    }
  }
  return ids;
}

/** Leaves out what a mask does not allow; the order stays. */
export function filterRanked({ ids, logits }: Ranked, mask: TokenMask): Ranked {
  const places: number[] = [];
  for (let i = 0; i < ids.length; i++) if (isAllowed(mask, ids[i]!)) places.push(i);
  return {
    ids: Int32Array.from(places, (place) => ids[place]!),
    logits: Float32Array.from(places, (place) => logits[place]!),
  };
}

/** Ids that are given with rising number and their logits, ranked. */
export function rank(ids: Int32Array, logits: Float32Array): Ranked {
  const places = Array.from(ids.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  return {
    ids: Int32Array.from(places, (place) => ids[place]!),
    logits: Float32Array.from(places, (place) => logits[place]!),
  };
}
