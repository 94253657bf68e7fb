import type { Expression } from "./expression";

/** Numbers of classes, by byte: two bytes have the same where every set of the language has both or neither. */
export function byteClasses(parts: Iterable<Expression>): Uint8Array {
  let classes = new Uint8Array(256);
  const seen = new Set<string>();
  for (const part of parts) {
    if (part.kind !== "bytes") continue;
    const key = [...part.set].join();
    if (seen.has(key)) continue;
    seen.add(key);
    const refined = new Uint8Array(256);
    const numbers = new Map<number, number>();
    for (let byte = 0; byte < 256; byte++) {
      const pair = (classes[byte] ?? 0) * 2 + (part.set.has(byte) ? 1 : 0);
      let number = numbers.get(pair);
      if (number === undefined) numbers.set(pair, (number = numbers.size));
      refined[byte] = number;
    }
    classes = refined;
    if (numbers.size === 256) break;
  }
  return classes;
}
