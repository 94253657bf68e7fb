import type { Definitions } from "./definitions";
import { isSame, matches, schemasOf } from "./json_matches";
import { isRecord, type SchemaObject } from "./json_values";

/** How deep properties are looked at. */
const MOST_DEPTH = 4;

/**
 * Whether certainly no value is valid for both of two schemas: by their types, listed values, limits, or a property that
 * one requires and that the schemas describe in disjoint ways. False where that is not seen.
 */
export function areDisjoint(a: unknown, b: unknown, definitions: Definitions, depth = 0): boolean {
  definitions.spend(4);
  if (depth > MOST_DEPTH) return false;
  const again = (x: unknown, y: unknown): boolean => areDisjoint(x, y, definitions, depth + 1);
  if (a === false || b === false) return true;
  if (!isRecord(a) || !isRecord(b)) return false;
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    if (typeof one.$ref === "string" && again(definitions.resolve(one.$ref), other)) return true;
    if (Array.isArray(one.allOf) && one.allOf.some((each) => again(each, other))) return true;
    for (const keyword of ["anyOf", "oneOf"]) {
      const options = one[keyword];
      if (Array.isArray(options) && options.length > 0 && options.every((each) => again(each, other))) return true;
    }
    const values = valuesOf(one);
    if (values?.every((value) => !matches(other, value, definitions))) return true;
    if (requiresWhatIsForbidden(one, other, definitions)) return true;
  }
  const [typesA, typesB] = [typesOf(a), typesOf(b)];
  if (typesA && typesB && !typesA.some((type) => typesB.some((each) => overlap(type, each)))) return true;
  // From here on, what is the same type is told apart; that needs one type that both have for certain.
  const only = typesA?.length === 1 && typesB?.length === 1 ? typesA[0] : undefined;
  if (only === "object") return haveDisjointProperties(a, b, again, definitions);
  if (only === "string") return areApart(a, b, "minLength", "maxLength");
  if (only === "array") return areApart(a, b, "minItems", "maxItems");
  if (only === "number" || only === "integer") return haveNumbersApart(a, b);
  return false;
}

function valuesOf(schema: SchemaObject): readonly unknown[] | undefined {
  if ("const" in schema) return [schema.const];
  return Array.isArray(schema.enum) ? (schema.enum as unknown[]) : undefined;
}

function typesOf({ type }: SchemaObject): string[] | undefined {
  if (typeof type === "string") return [type];
  return Array.isArray(type) ? type.map(String) : undefined;
}

function overlap(a: string, b: string): boolean {
  const numbers = ["number", "integer"];
  return a === b || (numbers.includes(a) && numbers.includes(b));
}

/** Objects only where both say so; `one` needs a property that `other` does not allow. */
function requiresWhatIsForbidden(one: SchemaObject, other: SchemaObject, definitions: Definitions): boolean {
  if (!isSame(typesOf(one), ["object"]) || !isSame(typesOf(other), ["object"]) || !Array.isArray(one.required))
    return false;
  return one.required.some((name) => schemasOf(other, String(name), definitions).includes(false));
}

function haveDisjointProperties(
  a: SchemaObject,
  b: SchemaObject,
  again: (x: unknown, y: unknown) => boolean,
  definitions: Definitions,
): boolean {
  const names = [a, b].flatMap(({ properties }) => (isRecord(properties) ? Object.keys(properties) : []));
  const required = new Set(
    [a, b].flatMap((each) => (Array.isArray(each.required) ? (each.required as unknown[]) : [])),
  );
  definitions.spend(names.length + required.size);
  return names.some((name) => {
    if (!required.has(name)) return false;
    return schemasOf(a, name, definitions).some((x) => schemasOf(b, name, definitions).some((y) => again(x, y)));
  });
}

function limit(schema: SchemaObject, keyword: string, otherwise: number): number {
  const value = schema[keyword];
  return typeof value === "number" ? value : otherwise;
}

function areApart(a: SchemaObject, b: SchemaObject, least: string, most: string): boolean {
  return limit(a, most, Infinity) < limit(b, least, -Infinity) || limit(b, most, Infinity) < limit(a, least, -Infinity);
}

function haveNumbersApart(a: SchemaObject, b: SchemaObject): boolean {
  const isBelow = (x: SchemaObject, y: SchemaObject): boolean => {
    const above = Math.max(limit(y, "minimum", -Infinity), limit(y, "exclusiveMinimum", -Infinity));
    return (
      limit(x, "maximum", Infinity) < above ||
      limit(x, "exclusiveMaximum", Infinity) <= above ||
      Math.min(limit(x, "maximum", Infinity), limit(x, "exclusiveMaximum", Infinity)) <=
        limit(y, "exclusiveMinimum", -Infinity)
    );
  };
  return isBelow(a, b) || isBelow(b, a);
}
