import { InvalidOptionError } from "../../errors";
import { MOST_GROUPS } from "./depth";
import { negated, normalized, plainCharacters, type CodeRange } from "./characters";
import { choiceOf, literal, repeat, type Expression } from "./expression";
import { withoutLeftRecursion } from "./left_recursion";

/** A rule's right side as it was written; rules are named by `reference`. */
export type GrammarNode =
  | { readonly kind: "expression"; readonly expression: Expression; readonly mayBeEmpty: boolean }
  | { readonly kind: "reference"; readonly name: string }
  | { readonly kind: "sequence"; readonly parts: readonly GrammarNode[] }
  | { readonly kind: "choice"; readonly options: readonly GrammarNode[] }
  | { readonly kind: "repeat"; readonly inner: GrammarNode; readonly least: number; readonly most: number };

const MOST_REPEATS = 10_000;
const MOST_CHARACTERS = 1_000_000;

/**
 * Compiles a grammar in the notation of llama.cpp (GBNF), an EBNF: rules `name ::= ...`, of which `root` is the text;
 * "texts" and [classes] with escapes, `.`, (groups), alternatives `|`, and `*`, `+`, `?`, `{2}`, `{2,}`, `{2,5}` behind a
 * part; comments from `#` on. A rule goes on in the next line within parentheses, or where that begins or the line ends with
 * `|`; any rule also goes on until the next name with `::=`. Rules may contain themselves; where one begins with itself,
 * that is turned into repetition.
 * @throws InvalidOptionError for what is no grammar, saying in which line
 */
export function compileGrammar(source: string): Expression {
  if (source.length > MOST_CHARACTERS) {
    throw new InvalidOptionError(`The grammar has ${source.length} characters; at most ${MOST_CHARACTERS} are read.`);
  }
  const rules = withoutLeftRecursion(new GrammarParser(source).parse());
  const compiled = new Map<string, Expression>();
  const compile = (node: GrammarNode): Expression => {
    switch (node.kind) {
      case "expression":
        return node.expression;
      case "reference":
        return ruleOf(node.name);
      case "sequence":
        return { kind: "sequence", parts: node.parts.map(compile) };
      case "choice":
        return choiceOf(node.options.map(compile));
      case "repeat":
        return repeat(compile(node.inner), node.least, node.most);
    }
  };
  const ruleOf = (name: string): Expression => {
    let rule = compiled.get(name);
    if (rule) return rule;
    let body: Expression | undefined;
    rule = { kind: "rule", body: () => (body ??= compile(rules.get(name) ?? { kind: "choice", options: [] })) };
    compiled.set(name, rule);
    return rule;
  };
  return ruleOf("root");
}

class GrammarParser {
  private at = 0;
  private depth = 0;
  private readonly rules = new Map<string, GrammarNode>();
  /** Where each name was used first. */
  private readonly uses = new Map<string, number>();

  constructor(private readonly source: string) {}

  parse(): Map<string, GrammarNode> {
    while (this.isMore()) {
      const start = this.at;
      const name = this.match(/[A-Za-z_][\w-]*/y);
      if (name === undefined) throw this.wrong("the name of a rule is missing");
      this.space();
      if (this.match(/::=/y) === undefined) throw this.wrong(`"::=" is missing behind "${name}"`);
      if (this.rules.has(name)) throw this.wrong(`the rule "${name}" stands there a second time`, start);
      this.rules.set(name, this.alternatives());
    }
    for (const [name, at] of this.uses) {
      if (!this.rules.has(name)) throw this.wrong(`the rule "${name}" is used but not there`, at);
    }
    if (!this.rules.has("root")) throw new InvalidOptionError('The grammar has no rule "root", which is the text.');
    return this.rules;
  }

  private alternatives(): GrammarNode {
    if (++this.depth > MOST_GROUPS) throw this.wrong(`groups are nested more than ${MOST_GROUPS} times`);
    const options = [this.parts()];
    while (this.match(/\|/y) !== undefined) options.push(this.parts());
    this.depth--;
    const [only] = options;
    return only && options.length === 1 ? only : { kind: "choice", options };
  }

  private parts(): GrammarNode {
    const parts: GrammarNode[] = [];
    while (this.isMore()) {
      if (/[|)]/.test(this.source[this.at] ?? "") || this.isRuleStart()) break;
      parts.push(this.quantified(this.part()));
    }
    const [only] = parts;
    return only && parts.length === 1 ? only : { kind: "sequence", parts };
  }

  private isRuleStart(): boolean {
    const pattern = /[A-Za-z_][\w-]*(?:\s|#[^\n]*\n)*::=/y;
    pattern.lastIndex = this.at;
    return pattern.test(this.source);
  }

  private part(): GrammarNode {
    const start = this.at;
    const name = this.match(/[A-Za-z_][\w-]*/y);
    if (name !== undefined) {
      if (!this.uses.has(name)) this.uses.set(name, start);
      return { kind: "reference", name };
    }
    const next = this.source[this.at++];
    if (next === '"') return this.text();
    if (next === "[") return this.characterClass();
    if (next === ".") return characters(negated([]));
    if (next === "(") {
      const inner = this.alternatives();
      if (this.match(/\)/y) === undefined) throw this.wrong('a group has no end, ")"', start);
      return inner;
    }
    throw this.wrong(`unexpected ${JSON.stringify(next)}`, start);
  }

  private quantified(inner: GrammarNode): GrammarNode {
    this.space();
    const sign = this.match(/[*+?]|\{\s*\d+\s*(?:,\s*\d*\s*)?\}/y);
    if (sign === undefined) return inner;
    const [from = "0", to] = sign.replace(/[{}\s]/g, "").split(",");
    const least = sign === "+" ? 1 : sign.startsWith("{") ? Number(from) : 0;
    const most = sign === "?" ? 1 : !sign.startsWith("{") || to === "" ? Infinity : Number(to ?? from);
    if (least > most || least > MOST_REPEATS || (most > MOST_REPEATS && most !== Infinity)) {
      throw this.wrong(`a repetition is out of order or above ${MOST_REPEATS}`);
    }
    return { kind: "repeat", inner, least, most };
  }

  private text(): GrammarNode {
    const start = this.at - 1;
    let text = "";
    for (;;) {
      const next = this.character(start, "a text");
      if (next === "end") return { kind: "expression", expression: literal(text), mayBeEmpty: text === "" };
      text += String.fromCodePoint(next);
    }
  }

  private characterClass(): GrammarNode {
    const start = this.at - 1;
    const inverted = this.match(/\^/y) !== undefined;
    const ranges: CodeRange[] = [];
    for (;;) {
      const first = this.character(start, "a class", "]");
      if (first === "end") break;
      let last = first;
      if (this.source[this.at] === "-" && this.source[this.at + 1] !== "]") {
        this.at++;
        const end = this.character(start, "a class", "]");
        if (end === "end" || end < first) throw this.wrong("a range is out of order", start);
        last = end;
      }
      ranges.push([first, last]);
    }
    const set = inverted ? negated(ranges) : normalized(ranges);
    if (set.length === 0) throw this.wrong("a class has no characters", start);
    return characters(set);
  }

  /** The next code point of a text or class, or that it is over. */
  private character(start: number, what: string, end = '"'): number | "end" {
    const code = this.source.codePointAt(this.at);
    if (code === undefined) throw this.wrong(`${what} has no end, ${end}`, start);
    const next = String.fromCodePoint(code);
    this.at += next.length;
    if (next === end) return "end";
    if (next !== "\\") return checked(code) ?? this.badEscape();
    const simple: Record<string, number> = { n: 10, r: 13, t: 9 };
    const escaped = this.source[this.at++] ?? "";
    const known = simple[escaped];
    if (known !== undefined) return known;
    if ('\\"[]^-/'.includes(escaped) && escaped !== "") return escaped.charCodeAt(0);
    const digits = { x: /[\da-fA-F]{2}/y, u: /[\da-fA-F]{4}/y, U: /[\da-fA-F]{8}/y }[escaped];
    return checked(parseInt((digits && this.match(digits)) ?? "", 16)) ?? this.badEscape();
  }

  private badEscape(): never {
    throw this.wrong('an escape is none of \\n \\r \\t \\\\ \\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH, or is no character');
  }

  /** Whether anything but white space and comments follows. */
  private isMore(): boolean {
    this.space();
    return this.at < this.source.length;
  }

  /** Skips white space and comments. */
  private space(): void {
    this.match(/(?:\s|#[^\n]*)*/y);
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private wrong(what: string, at = this.at): InvalidOptionError {
    const line = this.source.slice(0, at).split("\n").length;
    return new InvalidOptionError(`The grammar is wrong in line ${line}: ${what}.`);
  }
}

function characters(ranges: readonly CodeRange[]): GrammarNode {
  return { kind: "expression", expression: plainCharacters(ranges), mayBeEmpty: false };
}

/** A code point; undefined for what is none. */
function checked(code: number): number | undefined {
  return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? code : undefined;
}
