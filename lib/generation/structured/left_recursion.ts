import { InvalidOptionError } from "../../errors";
import type { GrammarNode } from "./grammar";

/** Rules that may begin with one another, one after the other. */
const MOST_CHAIN = 500;

type Rules = Map<string, GrammarNode>;

/**
 * Turns `a ::= a x | y` into `a ::= y x*`: a text is read from its beginning, and would never get past the rule's own name.
 * @throws InvalidOptionError where a rule begins with itself in any other way, naming the rules
 */
export function withoutLeftRecursion(rules: Rules): Rules {
  const empty = emptyRules(rules);
  const result: Rules = new Map();
  for (const [name, body] of rules) result.set(name, rewritten(name, body, empty));
  checkBeginnings(result, empty);
  return result;
}

/** Rules that an empty text may be of. */
function emptyRules(rules: Rules): Set<string> {
  const empty = new Set<string>();
  for (let before = -1; before < empty.size;) {
    before = empty.size;
    for (const [name, body] of rules) if (mayBeEmpty(body, empty)) empty.add(name);
  }
  return empty;
}

function mayBeEmpty(node: GrammarNode, empty: ReadonlySet<string>): boolean {
  switch (node.kind) {
    case "expression":
      return node.mayBeEmpty;
    case "reference":
      return empty.has(node.name);
    case "sequence":
      return node.parts.every((part) => mayBeEmpty(part, empty));
    case "choice":
      return node.options.some((option) => mayBeEmpty(option, empty));
    case "repeat":
      return node.least === 0 || mayBeEmpty(node.inner, empty);
  }
}

function rewritten(name: string, body: GrammarNode, empty: ReadonlySet<string>): GrammarNode {
  const options = body.kind === "choice" ? body.options : [body];
  const further: GrammarNode[] = [];
  const first: GrammarNode[] = [];
  for (const option of options) {
    const parts = option.kind === "sequence" ? option.parts : [option];
    const [head, ...rest] = parts;
    if (head?.kind !== "reference" || head.name !== name) first.push(option);
    // `a ::= a` alone says nothing.
    else if (rest.length > 0) further.push({ kind: "sequence", parts: rest });
  }
  if (further.length === 0 || empty.has(name))
    return first.length < options.length ? { kind: "choice", options: first } : body;
  const again: GrammarNode = { kind: "repeat", inner: { kind: "choice", options: further }, least: 0, most: Infinity };
  return { kind: "sequence", parts: [{ kind: "choice", options: first }, again] };
}

function checkBeginnings(rules: Rules, empty: ReadonlySet<string>): void {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      const loop = [...path.slice(path.indexOf(name)), name].join(" -> ");
      throw new InvalidOptionError(`The grammar cannot be read from its beginning: ${loop}. Write it as a repetition.`);
    }
    if (done.has(name)) return;
    if (path.length > MOST_CHAIN) {
      throw new InvalidOptionError(`The grammar has more than ${MOST_CHAIN} rules of which each begins with the next.`);
    }
    const body = rules.get(name);
    if (body) for (const next of beginnings(body, empty)) visit(next, [...path, name]);
    done.add(name);
  };
  for (const name of rules.keys()) visit(name, []);
}

/** Rules that a text may begin with. */
function beginnings(node: GrammarNode, empty: ReadonlySet<string>): Set<string> {
  switch (node.kind) {
    case "expression":
      return new Set();
    case "reference":
      return new Set([node.name]);
    case "choice":
      return new Set(node.options.flatMap((option) => [...beginnings(option, empty)]));
    case "repeat":
      return beginnings(node.inner, empty);
    case "sequence": {
      const found = new Set<string>();
      for (const part of node.parts) {
        for (const name of beginnings(part, empty)) found.add(name);
        if (!mayBeEmpty(part, empty)) break;
      }
      return found;
    }
  }
}
