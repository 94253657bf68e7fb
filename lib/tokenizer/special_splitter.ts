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
  /** Sorted by content, then id: those that begin alike lie together, the shorter ones first. */
  private readonly tokens: readonly AddedToken[];
  /** Where the tokens with a first UTF-16 unit lie: from, to. */
  private readonly byFirst = new Map<number, readonly [number, number]>();

  constructor(tokens: Iterable<AddedToken>) {
    this.tokens = [...tokens].filter(({ content }) => content !== "").sort(byContent);
    for (const [i, { content }] of this.tokens.entries()) {
      const first = content.charCodeAt(0);
      this.byFirst.set(first, [this.byFirst.get(first)?.[0] ?? i, i + 1]);
    }
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

  /**
   * The longest token at a place. The tokens that may stand there are narrowed down unit by unit, so that a text of
   * beginnings takes no longer than any other, however many tokens begin so.
   */
  private match(text: string, at: number, wanted: (token: AddedToken) => boolean): AddedToken | undefined {
    let found: AddedToken | undefined;
    let [from, to] = this.byFirst.get(text.charCodeAt(at)) ?? NONE;
    for (let depth = 1; from < to; depth++) {
      let whole: AddedToken | undefined;
      for (; from < to && this.tokens[from]?.content.length === depth; from++) {
        const token = this.tokens[from];
        if (token && !whole && wanted(token) && fits(token, text, at)) whole = token;
      }
      found = whole ?? found;
      if (at + depth >= text.length) break;
      const unit = text.charCodeAt(at + depth);
      from = this.firstNotBelow(from, to, depth, unit);
      to = this.firstNotBelow(from, to, depth, unit + 1);
    }
    return found;
  }

  /** The first token in a range of those that begin alike whose UTF-16 unit at `depth` is `unit` or greater. */
  private firstNotBelow(from: number, to: number, depth: number, unit: number): number {
    let [low, high] = [from, to];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.tokens[middle]?.content.charCodeAt(depth) ?? 0) < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const NONE = [0, 0] as const;

function byContent(a: AddedToken, b: AddedToken): number {
  if (a.content === b.content) return a.id - b.id;
  return a.content < b.content ? -1 : 1;
}

function fits(token: AddedToken, text: string, at: number): boolean {
  if (!token.singleWord) return true;
  // Two units hold any character.
  const before = text.slice(Math.max(0, at - 2), at);
  const end = at + token.content.length;
  return !ENDS_WITH_WORD.test(before) && !STARTS_WITH_WORD.test(text.slice(end, end + 2));
}
