/** A token whose text is recognised before any other splitting. The flags are those of `tokenizer.json`. */
export interface AddedToken {
  id: number;
  content: string;
  /** A control token: recognised only when asked for. Others always are. */
  special: boolean;
  /** Takes the white space on its left with it. */
  lstrip?: boolean;
  /** Takes the white space on its right with it. */
  rstrip?: boolean;
  /** Is recognised only where no letter, digit or underscore touches it. */
  singleWord?: boolean;
}

/** A piece of a text: an added token's id, or text in between with its offset in the whole. */
export type Segment = { id: number } | { text: string; start: number };

/** What counts as part of a word: \w of the library's regular expressions (Unicode TR 18). */
const WORD_CLASS = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const STARTS_WITH_WORD = new RegExp(`^${WORD_CLASS}`, "u");
const ENDS_WITH_WORD = new RegExp(`${WORD_CLASS}$`, "u");

/**
 * Finds added tokens in texts: leftmost first, the longest at each place, as the `tokenizers` library does. Doing it here
 * keeps control tokens out of the library, so that a user's "<|eot_id|>" cannot become one unless the caller asks.
 */
export class SpecialSplitter {
  private readonly byFirst = new Map<number, AddedToken[]>();

  constructor(tokens: Iterable<AddedToken>) {
    for (const token of tokens) {
      if (token.content === "") continue;
      const first = token.content.charCodeAt(0);
      const list = this.byFirst.get(first);
      if (list) list.push(token);
      else this.byFirst.set(first, [token]);
    }
    for (const list of this.byFirst.values()) list.sort((a, b) => b.content.length - a.content.length || a.id - b.id);
  }

  /**
   * @param parseSpecial whether control tokens are recognised too
   * @param guard the character that `guard` put in; no control token is recognised right behind it. It stays in the text
   */
  split(text: string, parseSpecial: boolean, guard?: string): Segment[] {
    const segments: Segment[] = [];
    let done = 0;
    for (let at = 0; at < text.length;) {
      const guarded = guard !== undefined && at > 0 && text.charAt(at - 1) === guard;
      const token = this.match(text, at, (candidate) => !candidate.special || (parseSpecial && !guarded));
      if (!token) {
        at++;
        continue;
      }
      let start = at;
      let end = at + token.content.length;
      if (token.lstrip) while (start > done && /\s/u.test(text.charAt(start - 1))) start--;
      if (token.rstrip) while (end < text.length && /\s/u.test(text.charAt(end))) end++;
      if (start > done) segments.push({ text: text.slice(done, start), start: done });
      segments.push({ id: token.id });
      done = at = end;
    }
    if (done < text.length) segments.push({ text: text.slice(done), start: done });
    return segments;
  }

  /** Puts `guard` in front of everything that reads like a control token, overlapping ones too. */
  guard(text: string, guard: string): string {
    let guarded = "";
    let done = 0;
    for (let at = 0; at < text.length; at++) {
      if (!this.match(text, at, (candidate) => candidate.special)) continue;
      guarded += text.slice(done, at) + guard;
      done = at;
    }
    return guarded + text.slice(done);
  }

  private match(text: string, at: number, wanted: (token: AddedToken) => boolean): AddedToken | undefined {
    return this.byFirst
      .get(text.charCodeAt(at))
      ?.find((token) => wanted(token) && text.startsWith(token.content, at) && fits(token, text, at));
  }
}

function fits(token: AddedToken, text: string, at: number): boolean {
  if (!token.singleWord) return true;
  // Two units hold any character.
  const before = text.slice(Math.max(0, at - 2), at);
  const end = at + token.content.length;
  return !ENDS_WITH_WORD.test(before) && !STARTS_WITH_WORD.test(text.slice(end, end + 2));
}
