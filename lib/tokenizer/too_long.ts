import type { EncodeOptions, Tokenizer } from "./types";

/** Characters that are looked at first for each token that fits. Text has three to five a token. */
const FIRST_LOOK = 16;
/** A beginning of so many times the tokens leaves no doubt: cutting a text changes the tokens at the cut only. */
const BEYOND_DOUBT = 2;

/**
 * How many tokens a text has at least, where that is more than `most`: known from its length and bytes, or from the tokens
 * of its beginning. Undefined where it may fit. All texts are turned into tokens by one thread, which megabytes would keep
 * from the others' for seconds to minutes, only to learn that they do not fit.
 */
export async function tokensBeyond(
  tokenizer: Pick<Tokenizer, "encode"> & Partial<Pick<Tokenizer, "fewestTokens">>,
  text: string,
  most: number,
  options?: EncodeOptions,
): Promise<number | undefined> {
  const firstLook = Math.max(most, 1) * FIRST_LOOK;
  // Soon counted, and then known exactly.
  if (text.length <= firstLook) return undefined;
  const fewest = tokenizer.fewestTokens?.(text, options) ?? 0;
  if (fewest > most) return fewest;
  for (let length = firstLook; 2 * length <= text.length; length *= 4) {
    const beginning = await tokenizer.encode(text.slice(0, length), options);
    if (beginning.length > BEYOND_DOUBT * most) return beginning.length;
  }
  return undefined;
}
