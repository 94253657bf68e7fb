import { Automaton, NoTextError, type State } from "./automaton";
import { bytes, choice, nothing, sequence, type Expression } from "./expression";
import { spend, tooLarge } from "./effort";

/** Pairs of states; a form that needs more is refused. */
const MOST_PAIRS = 20_000;

interface Pair {
  readonly states: readonly [State, State];
  /** What follows, by where it leads. */
  readonly edges: Map<Pair, number[]>;
  readonly rule: Expression;
}

/**
 * The texts that are in both languages, as the product of their automata. Both must have a finite number of states.
 * @throws InvalidOptionError where there are too many
 */
export function intersect(first: Expression, second: Expression): Expression {
  const [a, b] = [automatonOf(first), automatonOf(second)];
  if (!a || !b) return nothing;
  const groups = sameBytes(a, b);
  const numbers = new Map<State, number>();
  const numberOf = (state: State): number => {
    let number = numbers.get(state);
    if (number === undefined) numbers.set(state, (number = numbers.size));
    return number;
  };
  const pairs = new Map<string, Pair>();
  const open: Pair[] = [];
  const pairOf = (left: State, right: State): Pair => {
    const key = `${numberOf(left)},${numberOf(right)}`;
    let pair = pairs.get(key);
    if (pair) return pair;
    if (pairs.size >= MOST_PAIRS) throw tooLarge();
    const made: Pair = { states: [left, right], edges: new Map(), rule: ruleOf(() => made) };
    pairs.set(key, (pair = made));
    open.push(pair);
    return pair;
  };
  const start = pairOf(a.start, b.start);
  for (let pair = open.pop(); pair; pair = open.pop()) {
    const [left, right] = pair.states;
    spend(groups.length);
    for (const group of groups) {
      const nextLeft = a.step(left, group[0] ?? 0);
      const nextRight = nextLeft && b.step(right, group[0] ?? 0);
      if (!nextLeft || !nextRight) continue;
      const next = pairOf(nextLeft, nextRight);
      pair.edges.set(next, [...(pair.edges.get(next) ?? []), ...group]);
    }
  }
  return start.rule;
}

/** Bytes that neither language tells apart. */
function sameBytes(a: Automaton, b: Automaton): number[][] {
  const groups = new Map<string, number[]>();
  for (let byte = 0; byte < 256; byte++) {
    const key = `${a.byteClasses[byte]},${b.byteClasses[byte]}`;
    groups.set(key, [...(groups.get(key) ?? []), byte]);
  }
  return [...groups.values()];
}

function automatonOf(language: Expression): Automaton | undefined {
  try {
    return new Automaton(language);
  } catch (error) {
    if (error instanceof NoTextError) return undefined;
    throw error;
  }
}

/** A rule for what may follow at a pair. What leads nowhere is found by the automaton that reads it (`endlessParts`). */
function ruleOf(pair: () => Pair): Expression {
  return {
    kind: "rule",
    body: () => {
      const { edges, states } = pair();
      const options = Array.from(edges, ([next, set]) => sequence(bytes(set), next.rule));
      if (states[0].accepting && states[1].accepting) options.push(sequence());
      return choice(...options);
    },
  };
}
