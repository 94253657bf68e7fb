import { InvalidOptionError } from "../../errors";
import { describe } from "../../validate";
import { beyondAscii, bytes, choice, literal, range, repeat, sequence, type Expression } from "./expression";

const DIGITS = range(0x30, 0x39);
const WORD = [...DIGITS, ...range(0x41, 0x5a), 0x5f, ...range(0x61, 0x7a)];
const SPACE = [0x20, ...range(0x09, 0x0d)];
const MOST_REPEATS = 10_000;

/** A set of characters: ASCII ones, and all or none beyond. */
interface CharacterClass {
  ascii: Set<number>;
  beyond: boolean;
}

/** How a character stands in the text; JSON strings escape some. */
export type WriteCharacters = (ascii: readonly number[], beyond: boolean) => Expression;

/** Characters as they are. */
export const plainCharacters: WriteCharacters = (ascii, beyond) =>
  beyond ? choice(bytes(ascii), beyondAscii) : bytes(ascii);

/**
 * Compiles a regular expression: literals, `.`, classes, groups, alternatives and quantifiers as in JavaScript. The whole
 * text must match. Classes hold ASCII characters, and when negated everything beyond.
 * @throws InvalidOptionError for what has no meaning here: look-around, back-references, word borders
 */
export function compileRegex(source: string, write: WriteCharacters = plainCharacters): Expression {
  return new RegexParser(source, write).parse();
}

class RegexParser {
  private at = 0;
  private readonly characters: string[];

  constructor(
    private readonly source: string,
    private readonly write: WriteCharacters,
  ) {
    this.characters = Array.from(source);
  }

  parse(): Expression {
    const result = this.alternatives();
    if (this.at < this.characters.length) throw this.wrong(`unexpected "${this.peek() ?? ""}"`);
    return result;
  }

  private peek(): string | undefined {
    return this.characters[this.at];
  }

  private take(expected: string): boolean {
    if (this.peek() !== expected) return false;
    this.at++;
    return true;
  }

  private alternatives(): Expression {
    const options = [this.terms()];
    while (this.take("|")) options.push(this.terms());
    return choice(...options);
  }

  private terms(): Expression {
    const parts: Expression[] = [];
    for (let next = this.peek(); next !== undefined && next !== "|" && next !== ")"; next = this.peek()) {
      // The whole text is matched, so anchors at its ends say nothing new.
      if (next === "^" && parts.length === 0) this.at++;
      else if (next === "$" && [undefined, "|", ")"].includes(this.characters[this.at + 1])) this.at++;
      else parts.push(this.quantified(this.atom()));
    }
    return sequence(...parts);
  }

  private quantified(atom: Expression): Expression {
    let bounds: [number, number] | undefined;
    if (this.take("*")) bounds = [0, Infinity];
    else if (this.take("+")) bounds = [1, Infinity];
    else if (this.take("?")) bounds = [0, 1];
    else if (this.peek() === "{") {
      const text = /^\{(\d+)(,(\d*))?\}/.exec(this.characters.slice(this.at).join(""));
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
    return repeat(atom, least, most);
  }

  private atom(): Expression {
    const next = this.characters[this.at++] ?? "";
    if (next === "(") {
      if (this.take("?") && !this.take(":")) throw this.wrong("a group of a kind that is not supported");
      const inner = this.alternatives();
      if (!this.take(")")) throw this.wrong("a group without an end");
      return inner;
    }
    if (next === "[") return this.writeClass(this.characterClass());
    if (next === ".")
      return this.writeClass({ ascii: new Set(range(0, 0x7f).filter((c) => c !== 10 && c !== 13)), beyond: true });
    if (next === "\\") return this.writeClass(this.escape());
    if ("*+?{}^$".includes(next)) throw this.wrong(`unexpected "${next}"`);
    return this.writeCharacter(next);
  }

  private writeCharacter(character: string): Expression {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x80 ? this.write([code], false) : literal(character);
  }

  private writeClass({ ascii, beyond }: CharacterClass): Expression {
    if (ascii.size === 0 && !beyond) throw this.wrong("an empty class");
    return this.write([...ascii], beyond);
  }

  private characterClass(): CharacterClass {
    const negated = this.take("^");
    const set: CharacterClass = { ascii: new Set(), beyond: false };
    while (!this.take("]")) {
      const first = this.classAtom();
      if (typeof first !== "number") {
        for (const code of first.ascii) set.ascii.add(code);
        set.beyond ||= first.beyond;
        continue;
      }
      let last = first;
      if (this.peek() === "-" && this.characters[this.at + 1] !== "]") {
        this.at++;
        const end = this.classAtom();
        if (typeof end !== "number" || end < first) throw this.wrong("a range out of order");
        last = end;
      }
      for (const code of range(first, last)) set.ascii.add(code);
    }
    if (!negated) return set;
    return { ascii: new Set(range(0, 0x7f).filter((code) => !set.ascii.has(code))), beyond: !set.beyond };
  }

  private classAtom(): number | CharacterClass {
    const next = this.characters[this.at++];
    if (next === undefined) throw this.wrong("a class without an end");
    if (next === "\\") {
      const set = this.escape();
      const [only] = set.ascii;
      return set.ascii.size === 1 && only !== undefined && !set.beyond ? only : set;
    }
    const code = next.codePointAt(0) ?? 0;
    if (code > 0x7f) throw this.wrong(`"${next}" in a class, which may list ASCII characters only`);
    return code;
  }

  private escape(): CharacterClass {
    const next = this.characters[this.at++] ?? "";
    const sets: Record<string, readonly number[]> = { d: DIGITS, w: WORD, s: SPACE };
    const set = sets[next.toLowerCase()];
    if (set && next === next.toLowerCase()) return { ascii: new Set(set), beyond: false };
    if (set) return { ascii: new Set(range(0, 0x7f).filter((code) => !set.includes(code))), beyond: true };
    const controls: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, "0": 0 };
    const control = controls[next];
    if (control !== undefined) return { ascii: new Set([control]), beyond: false };
    if (next === "" || /[A-Za-z0-9]/.test(next) || next > "\x7f") throw this.wrong(`the escape \\${next}`);
    return { ascii: new Set([next.charCodeAt(0)]), beyond: false };
  }

  private wrong(what: string): InvalidOptionError {
    return new InvalidOptionError(`The regular expression ${describe(this.source)} has ${what}.`);
  }
}
