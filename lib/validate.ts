import { inspect } from "node:util";
import { InvalidOptionError } from "./errors";

/**
 * Checks one value: returns it with its type, or throws `InvalidOptionError` naming `name`, what is allowed and what
 * was given. Make one with `integer`, `number`, `text` and so on; give it to `checkOptions`, or call it directly:
 * `integer({ min: 1 })("threads", value)`.
 */
export type Check<T> = (name: string, value: unknown) => T;

/** Names of the options that an object may have, each with its check. */
export type OptionChecks = Readonly<Record<string, Check<unknown>>>;

/** The object that `checkOptions` returns: every option is optional, and one that was not given is absent. */
export type CheckedOptions<C extends OptionChecks> = { [K in keyof C]?: ReturnType<C[K]> };

/** Bounds of a number, both included. */
export interface Bounds {
  min?: number;
  max?: number;
}

/**
 * A checked copy of an options object. Options that are `undefined` count as not given and are left out; a name that
 * `checks` lacks is refused with the nearest known one, because a misspelt option that is silently ignored changes
 * results without a trace.
 *
 * @param where the function that takes the options, for messages: "model.generate"
 * @throws InvalidOptionError
 */
export function checkOptions<C extends OptionChecks>(where: string, value: unknown, checks: C): CheckedOptions<C> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidOptionError(`${where}: options must be an object, not ${describe(value)}.`);
  }
  const known = Object.keys(checks);
  const checked: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(value)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (!check) throw new InvalidOptionError(`${where}: unknown option "${name}".${suggestion(name, known)}`);
    if (given !== undefined) checked[name] = check(`${where}: option "${name}"`, given);
  }
  return checked as CheckedOptions<C>;
}

/** A whole number within bounds, exact as a JavaScript number. */
export function integer(bounds: Bounds = {}): Check<number> {
  return (name, value) => {
    if (Number.isSafeInteger(value) && within(value as number, bounds)) return value as number;
    throw wrong(name, `an integer${range(bounds)}`, value);
  };
}

/** A finite number within bounds. */
export function number(bounds: Bounds = {}): Check<number> {
  return (name, value) => {
    if (Number.isFinite(value) && within(value as number, bounds)) return value as number;
    throw wrong(name, `a number${range(bounds)}`, value);
  };
}

/** A string; by default not an empty one. */
export function text({ allowEmpty = false }: { allowEmpty?: boolean } = {}): Check<string> {
  return (name, value) => {
    if (typeof value === "string" && (allowEmpty || value !== "")) return value;
    throw wrong(name, allowEmpty ? "a string" : "a string that is not empty", value);
  };
}

/** `true` or `false`; nothing that merely counts as one. */
export function boolean(): Check<boolean> {
  return (name, value) => {
    if (typeof value === "boolean") return value;
    throw wrong(name, "true or false", value);
  };
}

/** One of a few strings. */
export function choice<T extends string>(choices: readonly T[]): Check<T> {
  return (name, value) => {
    const found = choices.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    const hint = typeof value === "string" ? suggestion(value, choices) : "";
    throw wrong(name, `one of ${choices.map((each) => `"${each}"`).join(", ")}`, value, hint);
  };
}

/** A function; the caller states its type: `callback<(share: number) => void>()`. */
export function callback<F extends (...args: never[]) => unknown>(): Check<F> {
  return (name, value) => {
    if (typeof value === "function") return value as F;
    throw wrong(name, "a function", value);
  };
}

/** An `AbortSignal`, told by what it can do, so that one from another realm or a polyfill passes. */
export function abortSignal(): Check<AbortSignal> {
  return (name, value) => {
    const signal = value as Partial<AbortSignal> | null;
    if (
      typeof signal === "object" &&
      typeof signal?.aborted === "boolean" &&
      typeof signal.addEventListener === "function" &&
      typeof signal.removeEventListener === "function"
    ) {
      return signal as AbortSignal;
    }
    throw wrong(name, "an AbortSignal", value);
  };
}

/** An array whose items all pass `item`. `min` and `max` bound its length. A copy is returned. */
export function listOf<T>(item: Check<T>, bounds: Bounds = {}): Check<T[]> {
  return (name, value) => {
    if (!Array.isArray(value)) throw wrong(name, "an array", value);
    if (!within(value.length, bounds)) {
      throw new InvalidOptionError(`${name} must be an array with a length${range(bounds)}, not ${value.length}.`);
    }
    return value.map((each: unknown, index) => item(`${name}[${index}]`, each));
  };
}

/** Either of two checks; `expected` says in words what is allowed: `"a string or an array of strings"`. */
export function either<A, B>(expected: string, first: Check<A>, second: Check<B>): Check<A | B> {
  return (name, value) => {
    for (const check of [first, second]) {
      try {
        return check(name, value);
      } catch (error) {
        if (!(error instanceof InvalidOptionError)) throw error;
      }
    }
    throw wrong(name, expected, value);
  };
}

/**
 * The name in `names` that `word` was probably meant to be, or undefined when none is near: at most a third of its
 * letters changed, added, dropped or swapped with a neighbour, capitals aside.
 */
export function nearestName(word: string, names: readonly string[]): string | undefined {
  // Longer words are no typing mistakes, and the distance takes time proportional to their length.
  if (word.length > 100) return undefined;
  let nearest: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  return nearest;
}

/** A sentence for an error message: ` Did you mean "x"?`, or the known names when none is near. */
export function suggestion(word: string, names: readonly string[]): string {
  const nearest = nearestName(word, names);
  if (nearest !== undefined) return ` Did you mean "${nearest}"?`;
  return names.length > 0 ? ` Known: ${names.join(", ")}.` : "";
}

/** A short form of a value for an error message. */
export function describe(value: unknown): string {
  const shown = inspect(value, { depth: 0, maxArrayLength: 3, maxStringLength: 60, breakLength: Infinity });
  return shown.length > 100 ? `${shown.slice(0, 100)}...` : shown;
}

function within(value: number, { min = -Infinity, max = Infinity }: Bounds): boolean {
  return value >= min && value <= max;
}

function range({ min, max }: Bounds): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}

function wrong(name: string, expected: string, value: unknown, hint = ""): InvalidOptionError {
  return new InvalidOptionError(`${name} must be ${expected}, not ${describe(value)}.${hint}`);
}

/** Optimal string alignment distance (Damerau-Levenshtein without repeated edits), three rows at a time. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = at(previous, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let cost = Math.min(at(previous, column) + 1, at(current, column - 1) + 1, substitution);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, at(beforePrevious, column - 2) + 1);
      }
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}

/** Whether a value can be a list of token ids; the ids themselves are checked where the vocabulary is known. */
function isTokenList(value: unknown): value is ArrayLike<number> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Whether a value can be a text, or a list of token ids in its place. */
export function isPrompt(value: unknown): value is string | ArrayLike<number> {
  return typeof value === "string" || isTokenList(value);
}

/** @throws InvalidOptionError for what is no list of token ids; `name` says of what */
export function checkTokenList(name: string, value: unknown): asserts value is ArrayLike<number> {
  if (!isTokenList(value)) throw wrong(name, "a list of token ids", value);
}

/** @throws InvalidOptionError for what is neither a text nor a list of token ids; `name` says of what */
export function checkPrompt(name: string, value: unknown): asserts value is string | ArrayLike<number> {
  if (!isPrompt(value)) throw wrong(name, "a string or a list of token ids", value);
}

/** @throws InvalidOptionError for what is no array of objects; `what` and `shape` say what it should be */
export function checkObjects(what: string, shape: string, value: unknown): void {
  if (Array.isArray(value) && value.every((each: unknown) => typeof each === "object" && each !== null)) return;
  throw new InvalidOptionError(`${what} must be an array of ${shape}, not ${describe(value)}.`);
}
