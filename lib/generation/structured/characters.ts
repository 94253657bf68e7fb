import { beyondAscii, bytes, choice, literal, range, sequence, type Expression } from "./expression";

/** Code points from the first to the last. */
export type CodeRange = readonly [number, number];

const LAST = 0x10ffff;
/** Halves of pairs, which are no characters. */
const SURROGATES: CodeRange = [0xd800, 0xdfff];
/** Where the encoding becomes a byte longer. */
const LENGTHS: readonly CodeRange[] = [
  [0x80, 0x7ff],
  [0x800, 0xffff],
  [0x10000, LAST],
];

/** In order, without overlaps. */
export function normalized(ranges: readonly CodeRange[]): CodeRange[] {
  const result: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const previous = result.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else result.push([first, last]);
  }
  return result;
}

/** All that is not in them. */
export function negated(ranges: readonly CodeRange[]): CodeRange[] {
  const result: CodeRange[] = [];
  let next = 0;
  for (const [first, last] of normalized([...ranges, SURROGATES])) {
    if (first > next) result.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST) result.push([next, LAST]);
  return result;
}

/** How characters stand in a text; JSON strings escape some. */
export type WriteCharacters = (ranges: readonly CodeRange[]) => Expression;

/** Characters as they are, in UTF-8. */
export const plainCharacters: WriteCharacters = (ranges) => {
  const ascii = asciiOf(ranges);
  return choice(...(ascii.length > 0 ? [bytes(ascii)] : []), ...longer(ranges));
};

const ESCAPES: Readonly<Record<number, string>> = { 8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\" };

/** Characters inside a JSON string; each in one way only. */
export const jsonCharacters: WriteCharacters = (ranges) => {
  const ascii = asciiOf(ranges);
  const plain = ascii.filter((code) => code >= 0x20 && !(code in ESCAPES));
  const options: Expression[] = plain.length > 0 ? [bytes(plain)] : [];
  for (const code of ascii) {
    const short = ESCAPES[code];
    if (short !== undefined) options.push(literal(`\\${short}`));
    else if (code < 0x20) options.push(literal(`\\u${code.toString(16).padStart(4, "0")}`));
  }
  return choice(...options, ...longer(ranges));
};

function asciiOf(ranges: readonly CodeRange[]): number[] {
  return normalized(ranges).flatMap(([first, last]) => (first > 0x7f ? [] : range(first, Math.min(last, 0x7f))));
}

/** Those beyond ASCII (RFC 3629). */
function longer(ranges: readonly CodeRange[]): Expression[] {
  const beyond = normalized(ranges).filter(([, last]) => last > 0x7f);
  // The usual case, and one object each time.
  if (negated(beyond).every(([, last]) => last <= 0x7f)) return [beyondAscii];
  const options: Expression[] = [];
  for (const [from, to] of LENGTHS) {
    for (const [first, last] of beyond) {
      for (const [low, high] of withoutSurrogates(Math.max(first, from), Math.min(last, to))) {
        options.push(between(encoded(low), encoded(high)));
      }
    }
  }
  return options;
}

function withoutSurrogates(first: number, last: number): CodeRange[] {
  const parts: CodeRange[] = [
    [first, Math.min(last, SURROGATES[0] - 1)],
    [Math.max(first, SURROGATES[1] + 1), last],
  ];
  return parts.filter(([low, high]) => low <= high);
}

function encoded(code: number): number[] {
  return [...Buffer.from(String.fromCodePoint(code))];
}

/** Byte strings of the same length between two, as they are sorted; all but the first byte may be any continuation. */
function between(low: readonly number[], high: readonly number[]): Expression {
  const [first = 0, ...lowRest] = low;
  const [last = 0, ...highRest] = high;
  if (lowRest.length === 0) return bytes(range(first, last));
  if (first === last) return sequence(bytes([first]), between(lowRest, highRest));
  const least = lowRest.map(() => 0x80);
  const most = lowRest.map(() => 0xbf);
  const options: Expression[] = [];
  const lowIsLeast = lowRest.every((byte) => byte === 0x80);
  const highIsMost = highRest.every((byte) => byte === 0xbf);
  if (!lowIsLeast) options.push(sequence(bytes([first]), between(lowRest, most)));
  const whole = range(lowIsLeast ? first : first + 1, highIsMost ? last : last - 1);
  if (whole.length > 0) options.push(sequence(bytes(whole), between(least, most)));
  if (!highIsMost) options.push(sequence(bytes([last]), between(least, highRest)));
  return choice(...options);
}
