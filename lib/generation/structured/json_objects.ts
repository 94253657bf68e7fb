import { jsonCharacters } from "./characters";
import type { Definitions } from "./definitions";
import { choice, literal, nothing, sequence, type Expression } from "./expression";
import { allOf, countOf, propertiesOf, requiredOf, type Conjunction } from "./json_conjunction";
import type { Compile } from "./json_schema";
import { anyString, colon, comma, entries, isRecord, quote, wrong } from "./json_values";
import { compileSearch } from "./regex";

/** Objects: the properties that are named, in order, or any where none is. */
export function compileObject(all: Conjunction, path: string, compile: Compile, definitions: Definitions): Expression {
  const properties = propertiesOf(all, path, definitions);
  const required = requiredOf(all, path);
  const least = countOf(all, "minProperties", "max", path) ?? 0;
  const most = countOf(all, "maxProperties", "min", path) ?? Infinity;
  if (most < least) throw wrong(path, "has a maxProperties below its minProperties");
  if (properties.size === 0 && required.size === 0) {
    const closed = all.schemas.some(
      ({ properties: named, patternProperties: patterns, additionalProperties: others }) =>
        !patterns && (others === false || (others === undefined && named !== undefined)),
    );
    if (closed) return least > 0 ? nothing : literal("{}");
    return anyEntries(all, least, most, path, compile);
  }
  for (const name of required) {
    if (properties.has(name)) continue;
    throw wrong(path, `requires ${JSON.stringify(name)}, which its properties do not name`);
  }
  const names = allOf(all, "propertyNames");
  if (names.length > 0) throw wrong(path, "combines propertyNames with properties, which is not supported");
  if (least > properties.size) throw wrong(path, "has a minProperties above the number of its properties");
  // Further properties could repeat a name, so they are never written where some are named.
  const members = Array.from(properties, ([name, schemas]) => ({
    required: required.has(name),
    text: sequence(literal(JSON.stringify(name)), colon, compile(schemas, `${path}.${name}`)),
  }));
  return sequence(literal("{"), membersFrom(members, least, most), literal("}"));
}

interface Member {
  required: boolean;
  text: Expression;
}

/** The members that may follow, by how many stand before them; counts matter only where they are bounded. */
function membersFrom(members: readonly Member[], least: number, most: number): Expression {
  const counted = least > members.filter((member) => member.required).length || most < members.length;
  const known = new Map<string, Expression>();
  const from = (index: number, count: number): Expression => {
    const member = members[index];
    if (!member) return count < least && counted ? nothing : sequence();
    const key = `${index},${counted ? count : Math.min(count, 1)}`;
    let expression = known.get(key);
    if (expression) return expression;
    const options: Expression[] = [];
    if (!counted || count < most) {
      options.push(sequence(...(count > 0 ? [comma] : []), member.text, from(index + 1, counted ? count + 1 : 1)));
    }
    if (!member.required) options.push(from(index + 1, count));
    known.set(key, (expression = choice(...options)));
    return expression;
  };
  return from(0, 0);
}

/** Entries of any name. */
function anyEntries(all: Conjunction, least: number, most: number, path: string, compile: Compile): Expression {
  // A name may come twice, and then counts once.
  if (least > 1) throw wrong(path, "has a minProperties above 1, which is supported for named properties only");
  const patterns = allOf(all, "patternProperties").flatMap((value) => {
    if (!isRecord(value)) throw wrong(path, "has patternProperties that are no object");
    return Object.entries(value);
  });
  const names = allOf(all, "propertyNames");
  if (patterns.length + names.length > 1) {
    throw wrong(path, "may have one pattern for the names of properties, in patternProperties or propertyNames");
  }
  const values = allOf(all, "additionalProperties");
  const [pattern] = patterns;
  if (pattern) {
    const name = sequence(quote, compileSearch(pattern[0], jsonCharacters), quote);
    return entries(sequence(name, colon, compile([pattern[1]], `${path}.patternProperties`)), least, most);
  }
  const name = names.length > 0 ? compile([{ type: "string" }, ...names], `${path}.propertyNames`) : anyString;
  return entries(sequence(name, colon, compile(values, `${path}.additionalProperties`)), least, most);
}
