/**
 * Length of the longest prefix of `bytes` after which a UTF-8 decoder holds no unfinished character: everything, or
 * everything before a sequence that is well-formed so far and lacks bytes (Unicode 15, table 3-7). Bytes that can never
 * become a character are not held back, so decoding the prefix and then the rest equals decoding the whole.
 */
export function completeLength(bytes: Uint8Array, length = bytes.length): number {
  const start = Math.max(0, length - 3);
  for (let at = length - 1; at >= start; at--) {
    const lead = bytes[at] ?? 0;
    if (lead < 0x80) return length;
    if (lead < 0xc0) continue;
    return isUnfinished(bytes, at, length) ? at : length;
  }
  return length;
}

/** Whether the bytes from the lead byte at `at` to the end may still grow into one character. */
function isUnfinished(bytes: Uint8Array, at: number, length: number): boolean {
  const lead = bytes[at] ?? 0;
  const needed =
    lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  const have = length - at;
  if (have >= needed) return false;
  if (have === 1) return true;
  // The second byte excludes overlong forms, surrogates and values above U+10FFFF.
  const second = bytes[at + 1] ?? 0;
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= lowest && second <= highest;
}
