import type { Automaton, State } from "./automaton";
import { range } from "./expression";

/** Well-formed UTF-8 beyond ASCII (RFC 3629), by the ranges of its bytes. */
const LONGER: readonly (readonly (readonly [number, number])[])[] = [
  [
    [0xc2, 0xdf],
    [0x80, 0xbf],
  ],
  [
    [0xe0, 0xe0],
    [0xa0, 0xbf],
    [0x80, 0xbf],
  ],
  [
    [0xe1, 0xec],
    [0x80, 0xbf],
    [0x80, 0xbf],
  ],
  [
    [0xed, 0xed],
    [0x80, 0x9f],
    [0x80, 0xbf],
  ],
  [
    [0xee, 0xef],
    [0x80, 0xbf],
    [0x80, 0xbf],
  ],
  [
    [0xf0, 0xf0],
    [0x90, 0xbf],
    [0x80, 0xbf],
    [0x80, 0xbf],
  ],
  [
    [0xf1, 0xf3],
    [0x80, 0xbf],
    [0x80, 0xbf],
    [0x80, 0xbf],
  ],
  [
    [0xf4, 0xf4],
    [0x80, 0x8f],
    [0x80, 0xbf],
    [0x80, 0xbf],
  ],
];

function isPlainByte(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
}

const PLAIN_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => (isPlainByte(byte) ? 1 : 0));

/**
 * How many characters a text has, if all of them are plain: printable ASCII but `"` and `\`, or whole characters beyond
 * ASCII. Undefined for others.
 */
export function plainLength(data: Uint8Array, start: number, end: number): number | undefined {
  let count = 0;
  for (let at = start; at < end; count++) {
    if (PLAIN_BYTES[data[at] ?? 0] === 1) {
      at++;
      continue;
    }
    const length = longerLength(data, at, end);
    if (length === 0) return undefined;
    at += length;
  }
  return count;
}

/** The bytes of the character beyond ASCII that begins there; 0 where none does. */
function longerLength(data: Uint8Array, at: number, end: number): number {
  const isWithin = (place: number, [low, high]: readonly [number, number]): boolean => {
    const byte = data[place] ?? 0;
    return byte >= low && byte <= high;
  };
  const form = LONGER.find(([first]) => first && isWithin(at, first));
  if (!form || at + form.length > end) return 0;
  return form.every((bounds, i) => isWithin(at + i, bounds)) ? form.length : 0;
}

/** Where plain characters lead in an automaton, all of them to the same state or not. */
export class PlainSteps {
  private readonly known = new Map<State, State | null | "mixed">();
  /** One byte for each class of those that are plain characters. */
  private readonly ascii: readonly number[];
  /** The same for each byte of the longer forms. */
  private readonly longer: readonly (readonly (readonly number[])[])[];

  constructor(private readonly automaton: Automaton) {
    this.ascii = this.ofEachClass(range(0, 0x7f).filter(isPlainByte));
    this.longer = LONGER.map((form) => form.map(([low, high]) => this.ofEachClass(range(low, high))));
  }

  /**
   * How many plain characters may follow, if it does not matter which: 0 for none, `most` for any number. Undefined where
   * it does matter.
   */
  count(state: State, most: number): number | undefined {
    let at = state;
    for (let count = 0; count < most; count++) {
      const next = this.next(at);
      if (next === "mixed") return undefined;
      if (!next) return count;
      if (next === at) return most;
      at = next;
    }
    return most;
  }

  private ofEachClass(bytes: readonly number[]): number[] {
    return [...new Map(bytes.map((byte) => [this.automaton.byteClasses[byte], byte])).values()];
  }

  private next(state: State): State | null | "mixed" {
    let next = this.known.get(state);
    if (next === undefined) this.known.set(state, (next = this.find(state)));
    return next;
  }

  private find(state: State): State | null | "mixed" {
    const ends = new Set<State | null>();
    for (const byte of this.ascii) {
      ends.add(this.automaton.step(state, byte) ?? null);
      if (ends.size > 1) return "mixed";
    }
    for (const form of this.longer) {
      if (!this.follow(state, form, 0, ends)) return "mixed";
    }
    const [end = null] = ends;
    return end;
  }

  /** Adds where the bytes of a form lead; false when that is more than one state. */
  private follow(state: State, form: readonly (readonly number[])[], at: number, ends: Set<State | null>): boolean {
    for (const byte of form[at] ?? []) {
      const next = this.automaton.step(state, byte);
      if (next && at + 1 < form.length) {
        if (!this.follow(next, form, at + 1, ends)) return false;
      } else ends.add(next ?? null);
      if (ends.size > 1) return false;
    }
    return true;
  }
}
