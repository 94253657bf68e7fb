import { InvalidOptionError } from "../../errors";

/** Deepest nesting of groups in expressions and grammars, which are read by functions that call themselves. */
export const MOST_GROUPS = 200;
/** Of schemas, where a level takes more calls. */
export const MOST_LEVELS = 100;

/** @throws InvalidOptionError for arrays and objects nested more than so many times, and those that contain themselves */
export function checkDepth(what: string, value: unknown, most = 2 * MOST_LEVELS): void {
  /** How deep each was met; what is met again no deeper needs no second look. */
  const met = new Map<object, number>();
  const open: [unknown, number][] = [[value, 0]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [each, depth] = next;
    if (typeof each !== "object" || each === null || (met.get(each) ?? -1) >= depth) continue;
    if (depth >= most) throw new InvalidOptionError(`${what} is nested more than ${most} times.`);
    met.set(each, depth);
    for (const inner of Object.values(each)) open.push([inner, depth + 1]);
  }
}
