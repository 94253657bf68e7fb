import { choice, literal, nothing, sequence, type Expression } from "./expression";
import { allOf, conjunctionOf, countOf, type Conjunction } from "./json_conjunction";
import type { Definitions } from "./definitions";
import { keyOf, matches } from "./json_matches";
import type { Compile } from "./json_schema";
import { comma, isRecord, jsonText, list, wrong } from "./json_values";

/** Values of which each may come once: more would make too many states. */
const MOST_UNIQUE = 10;

/** Arrays. With `prefixItems`, all of these are written, as far as `maxItems` allows. */
export function compileArray(all: Conjunction, path: string, compile: Compile, definitions: Definitions): Expression {
  const least = countOf(all, "minItems", "max", path) ?? 0;
  const most = countOf(all, "maxItems", "min", path) ?? Infinity;
  if (most < least) throw wrong(path, "has a maxItems below its minItems");
  const tuples = all.schemas.map((schema) => tupleOf(schema, path));
  const further = tuples.flatMap(({ rest }) => (rest === undefined ? [] : [rest]));
  const firstCount = tuples.reduce((most, { first }) => Math.max(most, first.length), 0);
  if (allOf(all, "uniqueItems").includes(true) && most > 1) {
    if (firstCount > 0) throw wrong(path, "combines uniqueItems with prefixItems, which is not supported");
    return uniqueValues(further, least, most, path, definitions);
  }
  const rest = (): Expression => compile(further, `${path}.items`);
  if (firstCount === 0) return list(rest(), least, most);
  const first = Array.from({ length: Math.min(firstCount, most) }, (_, i) =>
    compile(
      tuples.flatMap((tuple) => tuple.first[i] ?? tuple.rest ?? []),
      `${path}.prefixItems[${i}]`,
    ),
  );
  const [head = nothing, ...others] = first;
  const items: Expression = { kind: "sequence", parts: [head, ...others.flatMap((each) => [comma, each])] };
  if (most <= first.length) return sequence(literal("["), most === 0 ? sequence() : items, literal("]"));
  // More than those only where that is said.
  const needed = Math.max(least - first.length, 0);
  if (needed === 0 && further.length === 0) return sequence(literal("["), items, literal("]"));
  const more: Expression = { kind: "repeat", inner: sequence(comma, rest()), least: needed, most: most - first.length };
  return sequence(literal("["), items, more, literal("]"));
}

/** The schemas of the first items, and that of the others. */
function tupleOf(
  schema: Readonly<Record<string, unknown>>,
  path: string,
): { first: readonly unknown[]; rest: unknown } {
  const { items, prefixItems, additionalItems } = schema;
  // Drafts before 2020-12.
  if (Array.isArray(items)) return { first: items as unknown[], rest: additionalItems };
  if (prefixItems === undefined) return { first: [], rest: items };
  if (Array.isArray(prefixItems) && prefixItems.length > 0) return { first: prefixItems as unknown[], rest: items };
  throw wrong(path, "has prefixItems that list nothing");
}

/** Each of a few values at most once, in any order. */
function uniqueValues(
  items: readonly unknown[],
  least: number,
  most: number,
  path: string,
  definitions: Definitions,
): Expression {
  const all = items.every(isRecord) ? conjunctionOf(items, path) : undefined;
  const different = new Map(all?.values?.map((value) => [keyOf(value), value]));
  const values =
    all?.values && [...different.values()].filter((value) => items.every((each) => matches(each, value, definitions)));
  if (!values || values.length > MOST_UNIQUE) {
    throw wrong(path, `has uniqueItems, which is supported for items with an enum of up to ${MOST_UNIQUE} values`);
  }
  const texts = values.map((value) => literal(jsonText(value, path)));
  const rules = new Map<number, Expression>();
  /** What may follow once the values of `used` (bits) were written. */
  const after = (used: number, count: number): Expression => {
    const known = rules.get(used);
    if (known) return known;
    const rule: Expression = {
      kind: "rule",
      body: () => {
        const options = count >= least ? [literal("]")] : [];
        for (const [i, text] of texts.entries()) {
          if (count >= most || (used >> i) & 1) continue;
          options.push(sequence(...(count > 0 ? [comma] : []), text, after(used | (1 << i), count + 1)));
        }
        return choice(...options);
      },
    };
    rules.set(used, rule);
    return rule;
  };
  return sequence(literal("["), after(0, 0));
}
