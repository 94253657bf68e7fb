import { knownPatterns } from "./pre_tokenizers";

/** Steps of tokenizer.json's normalizer and pre_tokenizer that do the same bounded work for every text and file. */
const BOUNDED = new Set(
  (
    "Sequence NFC NFD NFKC NFKD Lowercase Strip StripAccents Prepend Replace Nmt BertNormalizer ByteLevel Split Metaspace " +
    "Digits Punctuation Whitespace WhitespaceSplit BertPreTokenizer"
  ).split(" "),
);

/**
 * Whether the native tokenizer library may be given a file's normalizer and pre_tokenizer. It ends the whole process where
 * a regular expression backtracks for too long or a character map is damaged, so it gets only steps of bounded work and
 * expressions of known models; the JavaScript library takes the rest, on a thread that can be ended.
 */
export function isSafeForNative(steps: unknown): boolean {
  if (steps === null || steps === undefined) return true;
  if (typeof steps !== "object" || Array.isArray(steps)) return false;
  const { type, pattern, normalizers, pretokenizers } = steps as Record<string, unknown>;
  if (typeof type !== "string" || !BOUNDED.has(type)) return false;
  const expression = typeof pattern === "object" && pattern !== null && "Regex" in pattern ? pattern.Regex : undefined;
  if (expression !== undefined && !knownPatterns.has(expression)) return false;
  const inner: unknown[] = [normalizers, pretokenizers].flatMap((list) =>
    Array.isArray(list) ? (list as unknown[]) : [],
  );
  return inner.every(isSafeForNative);
}
