import type { TokenTable } from "./token_table";

/** Bytes that no UTF-8 has. */
const IMPOSSIBLE = new Set([0xc0, 0xc1, ...Array.from({ length: 11 }, (_, i) => 0xf5 + i)]);
const SPACE_MARK = /\u2581/g;

/** What happens to a text's bytes before they become tokens. */
export interface FloorRules {
  /** The text is put into normal form C first. */
  composed: boolean;
  /** U+2581 reads like a space, as in SentencePiece's vocabularies. */
  marksSpaces: boolean;
}

/**
 * How many tokens a text takes at least, without tokenizing it: in time linear in the text, whatever stands in it. Each
 * byte counts 1 / n, n being the bytes of the longest token that has this byte; so the bytes of any token, of whatever
 * length, count at most 1 together.
 */
export class TokenFloor {
  /** Of the longest token's bytes. */
  private readonly least: number;

  private constructor(
    private readonly shares: Float64Array,
    private readonly rules: FloorRules,
  ) {
    this.least = shares.reduce((least, share) => (share > 0 ? Math.min(least, share) : least), 1);
  }

  /** Undefined for a vocabulary that lacks bytes: what it has no token for may vanish. */
  static of(table: TokenTable, rules: FloorRules): TokenFloor | undefined {
    const { longest, single } = table.byteLengths();
    for (let byte = 0; byte < 256; byte++) if (!single[byte] && !IMPOSSIBLE.has(byte)) return undefined;
    return new TokenFloor(
      Float64Array.from(longest, (length) => (length > 0 ? 1 / length : 0)),
      rules,
    );
  }

  /** No text of this kind has fewer tokens. */
  fewest(text: string): number {
    const { composed, marksSpaces } = this.rules;
    const bytes = Buffer.from(marksSpaces ? text.replace(SPACE_MARK, " ") : text);
    let sum = 0;
    if (!composed) for (const byte of bytes) sum += this.shares[byte] ?? 0;
    else for (let i = 0; i < bytes.length;) sum += this.composedShare(bytes, i, (i += lengthOf(bytes[i] ?? 0)));
    // Half a token for what the additions round.
    return Math.max(0, Math.ceil(sum - 0.5));
  }

  /**
   * Normal form C joins characters; not by itself computed here, because it takes time by the square of the combining marks
   * in a row. Those below U+0300 stay as they are where no other follows, and of any others a quarter of the bytes is left:
   * U+1FBE U+0308 U+0301, seven bytes, become U+0390, two.
   */
  private composedShare(bytes: Uint8Array, from: number, to: number): number {
    if ((bytes[from] ?? 0) >= COMBINES || (bytes[to] ?? 0) >= COMBINES) return ((to - from) / 4) * this.least;
    let sum = 0;
    for (let i = from; i < to; i++) sum += this.shares[bytes[i] ?? 0] ?? 0;
    return sum;
  }
}

/** First byte of U+0300. */
const COMBINES = 0xcc;

/** Bytes of a character by its first. */
function lengthOf(byte: number): number {
  if (byte < 0x80) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}
