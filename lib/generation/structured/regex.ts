import { InvalidOptionError } from "../../errors";
import { describe } from "../../validate";
import { negated, normalized, plainCharacters, type CodeRange, type WriteCharacters } from "./characters";
import { MOST_GROUPS } from "./depth";
import { choiceOf, repeat, sequence, type Expression } from "./expression";

const DIGITS: readonly CodeRange[] = [[0x30, 0x39]];
const WORD: readonly CodeRange[] = [...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
/** What JavaScript takes for white space. */
const SPACE: readonly CodeRange[] = [
  ...([
    [0x20, 0x20],
    [0x09, 0x0d],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
  ] as const),
  ...([
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ] as const),
];
const LINE_ENDS: readonly CodeRange[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const MOST_REPEATS = 10_000;
const MOST_CHARACTERS = 100_000;

/**
 * Compiles a regular expression: literals, `.`, classes, groups, alternatives and quantifiers as in JavaScript with the
 * flag "u". The whole text must match.
 * @throws InvalidOptionError for what has no meaning here: look-around, back-references, word borders
 */
export function compileRegex(source: string, write: WriteCharacters = plainCharacters): Expression {
  return choiceOf(new RegexParser(source, write).parse().map(({ expression }) => expression));
}

/**
 * Compiles an expression that is looked for in a text. Where all alternatives are bound to one end of the text only, with
 * `^` or `$`, anything may stand at the other. Where neither is, the whole text must match: a part of what is valid.
 * @throws InvalidOptionError, see `compileRegex`
 */
export function compileSearch(source: string, write: WriteCharacters): Expression {
  const alternatives = new RegexParser(source, write).parse();
  const whole = choiceOf(alternatives.map(({ expression }) => expression));
  const [start, end] = [alternatives.every((each) => each.start), alternatives.every((each) => each.end)];
  if (start === end) return whole;
  const anything = repeat(write(negated([])), 0, Infinity);
  return start ? sequence(whole, anything) : sequence(anything, whole);
}

/**
 * Compiles all texts in which an expression is found, as JavaScript's `test` with the flag "u" finds it.
 * @throws InvalidOptionError, see `compileRegex`, and for `^` and `$` within groups
 */
export function compileFound(source: string): Expression {
  const parser = new RegexParser(source, plainCharacters);
  const alternatives = parser.parse();
  if (parser.hasInnerAnchors) throw parser.wrong("a ^ or $ within a group");
  const anything = repeat(plainCharacters(negated([])), 0, Infinity);
  return choiceOf(
    alternatives.map(({ expression, start, end }) =>
      sequence(...(start ? [] : [anything]), expression, ...(end ? [] : [anything])),
    ),
  );
}

/** A part of an expression, and whether `^` or `$` stands at an end of it, or of some alternative in it. */
interface Part {
  expression: Expression;
  start: boolean;
  end: boolean;
}

class RegexParser {
  private at = 0;
  private depth = 0;
  private readonly characters: string[];
  /** Whether a group has `^` or `$`. */
  hasInnerAnchors = false;

  constructor(
    private readonly source: string,
    private readonly write: WriteCharacters,
  ) {
    this.characters = Array.from(source);
    if (this.characters.length > MOST_CHARACTERS) throw this.wrong(`more than ${MOST_CHARACTERS} characters`);
  }

  /** The outermost alternatives, and which ends of a text each is bound to. */
  parse(): Part[] {
    const alternatives = this.alternatives(false);
    if (this.at < this.characters.length) throw this.wrong(`unexpected "${this.peek() ?? ""}"`);
    return alternatives;
  }

  private peek(): string | undefined {
    return this.characters[this.at];
  }

  private take(expected: string): boolean {
    if (this.peek() !== expected) return false;
    this.at++;
    return true;
  }

  /** @param behind whether something stands before them */
  private alternatives(behind: boolean): Part[] {
    if (++this.depth > MOST_GROUPS) throw this.wrong(`groups nested more than ${MOST_GROUPS} times`);
    const options = [this.terms(behind)];
    while (this.take("|")) options.push(this.terms(behind));
    this.depth--;
    return options;
  }

  private terms(behind: boolean): Part {
    const parts: Expression[] = [];
    const found = { start: false, end: false };
    let closed = false;
    for (let next = this.peek(); next !== undefined && next !== "|" && next !== ")"; next = this.peek()) {
      if (next === "^" && parts.length === 0 && !behind) {
        this.at++;
        found.start = true;
      } else if (next === "$" && [undefined, "|", ")"].includes(this.characters[this.at + 1])) {
        this.at++;
        found.end = true;
      } else {
        if (closed) throw this.wrong("a $ that is not at the end");
        const part = this.quantified(behind || parts.length > 0);
        parts.push(part.expression);
        closed = part.end;
        this.hasInnerAnchors ||= part.start || part.end;
      }
    }
    return { expression: { kind: "sequence", parts }, ...found };
  }

  private quantified(behind: boolean): Part {
    const atom = this.atom(behind);
    let bounds: [number, number] | undefined;
    if (this.take("*")) bounds = [0, Infinity];
    else if (this.take("+")) bounds = [1, Infinity];
    else if (this.take("?")) bounds = [0, 1];
    else if (this.peek() === "{") {
      const text = /^\{(\d+)(,(\d*))?\}/.exec(this.characters.slice(this.at, this.at + 20).join(""));
      if (!text) throw this.wrong("a { that is no quantifier; write \\{");
      this.at += text[0].length;
      const least = Number(text[1]);
      bounds = [least, text[2] === undefined ? least : text[3] === "" ? Infinity : Number(text[3])];
    }
    if (!bounds) return atom;
    // Lazy or not is the same: only whether a text matches counts.
    this.take("?");
    const [least, most] = bounds;
    if (least > most || least > MOST_REPEATS || (most > MOST_REPEATS && most !== Infinity)) {
      throw this.wrong(`a quantifier out of order or above ${MOST_REPEATS}`);
    }
    if (most > 1 && (atom.start || atom.end)) throw this.wrong("a group with ^ or $ that repeats");
    return { ...atom, expression: repeat(atom.expression, least, most) };
  }

  private atom(behind: boolean): Part {
    if (this.take("(")) return this.group(behind);
    return { expression: this.character(), start: false, end: false };
  }

  private group(behind: boolean): Part {
    if (this.take("?") && !this.take(":") && !this.takeName()) {
      throw this.wrong("a group of a kind that is not supported");
    }
    const options = this.alternatives(behind);
    if (!this.take(")")) throw this.wrong("a group without an end");
    return {
      expression: choiceOf(options.map(({ expression }) => expression)),
      start: options.some(({ start }) => start),
      end: options.some(({ end }) => end),
    };
  }

  private character(): Expression {
    const next = this.characters[this.at++] ?? "";
    if (next === "[") return this.writeClass(this.characterClass());
    if (next === ".") return this.writeClass(negated(LINE_ENDS));
    if (next === "\\") return this.writeClass(this.escape());
    if ("*+?{}^$".includes(next)) throw this.wrong(`unexpected "${next}"`);
    return this.writeClass([only(next.codePointAt(0) ?? 0)]);
  }

  /** The rest of `(?<name>`; what was matched where is of no interest. */
  private takeName(): boolean {
    const name = /^<[A-Za-z_$][\w$]*>/.exec(this.characters.slice(this.at, this.at + 100).join(""));
    if (name) this.at += name[0].length;
    return name !== null;
  }

  private writeClass(ranges: readonly CodeRange[]): Expression {
    if (ranges.length === 0) throw this.wrong("an empty class");
    return this.write(ranges);
  }

  private characterClass(): CodeRange[] {
    const inverted = this.take("^");
    const ranges: CodeRange[] = [];
    while (!this.take("]")) {
      const first = this.classAtom();
      if (this.peek() === "-" && this.characters[this.at + 1] !== "]") {
        this.at++;
        const last = this.classAtom();
        if (!isOne(first) || !isOne(last) || last[0][0] < first[0][0]) throw this.wrong("a range out of order");
        ranges.push([first[0][0], last[0][0]]);
      } else ranges.push(...first);
    }
    return inverted ? negated(ranges) : normalized(ranges);
  }

  private classAtom(): readonly CodeRange[] {
    const next = this.characters[this.at++];
    if (next === undefined) throw this.wrong("a class without an end");
    return next === "\\" ? this.escape() : [only(next.codePointAt(0) ?? 0)];
  }

  private escape(): readonly CodeRange[] {
    const next = this.characters[this.at++] ?? "";
    const sets: Record<string, readonly CodeRange[]> = { d: DIGITS, w: WORD, s: SPACE };
    const set = sets[next.toLowerCase()];
    if (set) return next === next.toLowerCase() ? set : negated(set);
    const controls: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, "0": 0 };
    const control = controls[next];
    if (control !== undefined) return [only(control)];
    if (next === "x" || next === "u") return [only(this.hexadecimal(next))];
    if (next === "" || /[A-Za-z0-9]/.test(next)) throw this.wrong(`the escape \\${next}`);
    return [only(next.codePointAt(0) ?? 0)];
  }

  /** What follows `\x` or `\u`. */
  private hexadecimal(kind: "x" | "u"): number {
    const rest = this.characters.slice(this.at, this.at + 12).join("");
    const text = (kind === "x" ? /^([\da-fA-F]{2})/ : /^(?:([\da-fA-F]{4})|\{([\da-fA-F]{1,6})\})/).exec(rest);
    const code = parseInt(text?.[1] ?? text?.[2] ?? "", 16);
    if (!text || !(code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) throw this.wrong(`the escape \\${kind}`);
    this.at += text[0].length;
    return code;
  }

  /** The error for what is not supported or has no meaning. */
  wrong(what: string): InvalidOptionError {
    return new InvalidOptionError(`The regular expression ${describe(this.source)} has ${what}.`);
  }
}

function only(code: number): CodeRange {
  return [code, code];
}

function isOne(ranges: readonly CodeRange[]): ranges is readonly [CodeRange] {
  return ranges.length === 1 && ranges[0]?.[0] === ranges[0]?.[1];
}
