import { InvalidOptionError } from "../../errors";
import { byteClasses } from "./byte_classes";
import { endlessParts, partsOf } from "./endless";
import type { Expression } from "./expression";
import { spend, tooLarge } from "./effort";

/** What is still to be read: expressions, the next one first. Equal lists are one object. */
interface Rest {
  readonly id: number;
  readonly head: Expression | undefined;
  readonly tail: Rest | undefined;
}

/** Where reading a text has come to. Equal states of one automaton are one object. */
export interface State {
  /** Whether the text may end here. */
  readonly accepting: boolean;
  /** Whether the text must end here. */
  readonly final: boolean;
}

interface KnownState extends State {
  /** Each with a set of bytes in front. */
  readonly items: readonly Rest[];
  /** By class of byte: null where the language has nothing, undefined where that is not known yet. */
  readonly next: (KnownState | null | undefined)[];
}

/** There are no texts in a language. */
export class NoTextError extends InvalidOptionError {}

/** More than any sensible form needs; a hostile one must not fill the memory. */
const MOST_STATES = 200_000;
const MOST_ITEMS = 20_000;
/** Rests opened for all states together: time and memory of a form, however its states are shaped. */
const MOST_WORK = 600_000;

/**
 * Reads byte strings of a language that is given as an expression: a pushdown automaton whose states are made when they
 * are reached first, by Brzozowski's derivatives ("Derivatives of regular expressions", 1964), and kept.
 */
export class Automaton {
  readonly start: State;
  private readonly rests = new Map<string, Rest>();
  private readonly states = new Map<string, KnownState>();
  /** States by the rests that were opened for them. */
  private readonly opened = new Map<string, KnownState>();
  private readonly numbers = new Map<Expression, number>();
  private readonly bodies = new Map<Expression, Expression>();
  private work = 0;
  private readonly end: Rest = { id: 0, head: undefined, tail: undefined };

  /** Parts that no text ends, such as a rule that is itself; nothing may lead into them. */
  private readonly endless: ReadonlySet<Expression>;
  /** Bytes that the language never tells apart have one number. */
  private readonly classes: Uint8Array;

  /** @throws InvalidOptionError for a language that is too large or has no texts */
  constructor(root: Expression) {
    const parts = partsOf(root, (rule) => this.bodyOf(rule));
    this.classes = byteClasses(parts);
    this.endless = endlessParts(parts, (rule) => this.bodyOf(rule));
    if (this.endless.has(root)) {
      throw new NoTextError("No text has this form: it contradicts itself, or contains itself without an end.");
    }
    this.start = this.closure([this.push(root, this.end)]);
  }

  /** Parts that were opened so far: what it takes of time and memory. */
  get size(): number {
    return this.work;
  }

  /** The class of each byte: of two bytes of one class, every state has the same next state. */
  get byteClasses(): Uint8Array {
    return this.classes;
  }

  /** The state behind a byte; undefined where the language has none. */
  step(state: State, byte: number): State | undefined {
    const known = state as KnownState;
    const at = this.classes[byte] ?? 0;
    const cached = known.next[at];
    if (cached !== undefined) return cached ?? undefined;
    const rests: Rest[] = [];
    for (const { head, tail } of known.items) {
      if (head?.kind === "bytes" && tail && head.set.has(byte)) rests.push(tail);
    }
    const next = rests.length > 0 ? this.stateOf(rests) : null;
    known.next[at] = next;
    return next ?? undefined;
  }

  /** The state behind bytes; undefined where the language has none. */
  run(state: State, text: Uint8Array): State | undefined {
    let at: State | undefined = state;
    for (const byte of text) {
      at = this.step(at, byte);
      if (!at) return undefined;
    }
    return at;
  }

  private push(head: Expression, tail: Rest): Rest {
    const key = `${this.numberOf(head)},${tail.id}`;
    let rest = this.rests.get(key);
    if (!rest) {
      rest = { id: this.rests.size + 1, head, tail };
      this.rests.set(key, rest);
    }
    return rest;
  }

  private numberOf(expression: Expression): number {
    let number = this.numbers.get(expression);
    if (number === undefined) this.numbers.set(expression, (number = this.numbers.size));
    return number;
  }

  private stateOf(rests: readonly Rest[]): KnownState {
    const key = rests.map(({ id }) => id).join();
    let state = this.opened.get(key);
    if (!state) this.opened.set(key, (state = this.closure(rests)));
    return state;
  }

  /** Opens what stands in front until bytes do. */
  private closure(rests: readonly Rest[]): KnownState {
    const seen = new Set<Rest>();
    const items: Rest[] = [];
    const open = [...rests];
    for (let rest = open.pop(); rest; rest = open.pop()) {
      if (seen.has(rest) || (rest.head && this.endless.has(rest.head))) continue;
      seen.add(rest);
      if (seen.size > MOST_ITEMS) throw tooLarge();
      if (!rest.head || rest.head.kind === "bytes") items.push(rest);
      else for (const each of this.open(rest.head, rest.tail ?? this.end)) open.push(each);
    }
    this.work += seen.size;
    spend(seen.size);
    if (this.work > MOST_WORK) throw tooLarge();
    items.sort((a, b) => a.id - b.id);
    const key = items.map(({ id }) => id).join();
    let state = this.states.get(key);
    if (state) return state;
    if (this.states.size >= MOST_STATES) throw tooLarge();
    const accepting = items[0] === this.end;
    state = { accepting, final: accepting && items.length === 1, items, next: [] };
    this.states.set(key, state);
    return state;
  }

  private open(head: Exclude<Expression, { kind: "bytes" }>, tail: Rest): Rest[] {
    switch (head.kind) {
      case "sequence":
        return [head.parts.reduceRight((rest, part) => this.push(part, rest), tail)];
      case "choice":
        return head.options.map((option) => this.push(option, tail));
      case "rule":
        return [this.push(this.bodyOf(head), tail)];
      case "repeat": {
        const { inner, least, most } = head;
        const again = most > 1 ? this.push(this.less(head), tail) : tail;
        const once = most > 0 ? [this.push(inner, again)] : [];
        return least > 0 ? once : [...once, tail];
      }
    }
  }

  private bodyOf(rule: Expression & { kind: "rule" }): Expression {
    let body = this.bodies.get(rule);
    if (!body) this.bodies.set(rule, (body = rule.body()));
    return body;
  }

  private readonly fewer = new Map<Expression, Expression>();

  /** A repetition with one time less to come; the same object each time. */
  private less(expression: Expression & { kind: "repeat" }): Expression {
    const { inner, least, most } = expression;
    if (least === 0 && most === Infinity) return expression;
    let fewer = this.fewer.get(expression);
    if (!fewer) {
      fewer = { kind: "repeat", inner, least: Math.max(least - 1, 0), most: most - 1 };
      this.fewer.set(expression, fewer);
    }
    return fewer;
  }
}
