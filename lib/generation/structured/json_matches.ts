import type { Definitions } from "./definitions";
import { FORMATS } from "./formats";
import { isRecord, type SchemaObject } from "./json_values";

/** References that may follow one another without a value getting smaller. */
const MOST_DEPTH = 200;

/**
 * Whether a value is valid for a schema: for the few values that a schema lists.
 * @throws InvalidOptionError where that takes too many steps, or an expression is not supported
 */
export function matches(schema: unknown, value: unknown, definitions: Definitions, depth = 0): boolean {
  definitions.spend(4);
  if (typeof schema === "boolean") return schema;
  if (!isRecord(schema) || depth > MOST_DEPTH) return false;
  const inner = (each: unknown, of: unknown = value): boolean => matches(each, of, definitions, depth + 1);
  const list = (keyword: string): readonly unknown[] | undefined => {
    const found = schema[keyword];
    if (!Array.isArray(found)) return undefined;
    definitions.spend(found.length);
    return found as unknown[];
  };
  const { $ref: reference } = schema;
  if (typeof reference === "string" && !inner(definitions.resolve(reference))) return false;
  if (list("allOf")?.every((each) => inner(each)) === false) return false;
  if (list("anyOf")?.some((each) => inner(each)) === false) return false;
  const oneOf = list("oneOf");
  if (oneOf && oneOf.filter((each) => inner(each)).length !== 1) return false;
  if ("const" in schema && !isSame(schema.const, value)) return false;
  if (list("enum")?.some((each) => isSame(each, value)) === false) return false;
  const types = typeof schema.type === "string" ? [schema.type] : list("type");
  if (types && !types.some((type) => isOfType(type, value))) return false;
  if (typeof value === "string") return matchesText(schema, value, definitions);
  if (typeof value === "number") return matchesNumber(schema, value);
  if (Array.isArray(value)) return matchesArray(schema, value, inner, definitions);
  return !isRecord(value) || matchesObject(schema, value, inner, definitions);
}

/** Equal as JSON values: the order of properties does not count. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => isSame(each, b[i]));
  if (!isRecord(a) || !isRecord(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  );
}

function isOfType(type: unknown, value: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

function within(schema: SchemaObject, least: string, most: string, size: number): boolean {
  const [low, high] = [schema[least], schema[most]];
  return !(typeof low === "number" && size < low) && !(typeof high === "number" && size > high);
}

function matchesText(schema: SchemaObject, value: string, definitions: Definitions): boolean {
  const { pattern, format } = schema;
  if (!within(schema, "minLength", "maxLength", Array.from(value).length)) return false;
  if (typeof pattern === "string" && !definitions.finds(pattern, value)) return false;
  const known = typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  return known === undefined || definitions.finds(`^(?:${known})$`, value);
}

function matchesNumber(schema: SchemaObject, value: number): boolean {
  if (!within(schema, "minimum", "maximum", value)) return false;
  const { exclusiveMinimum: above, exclusiveMaximum: below, multipleOf: divisor } = schema;
  if ((typeof above === "number" && value <= above) || (typeof below === "number" && value >= below)) return false;
  return typeof divisor !== "number" || Number.isInteger(value / divisor);
}

type Inner = (schema: unknown, value: unknown) => boolean;

function matchesArray(
  schema: SchemaObject,
  value: readonly unknown[],
  inner: Inner,
  definitions: Definitions,
): boolean {
  if (!within(schema, "minItems", "maxItems", value.length)) return false;
  const tuple = Array.isArray(schema.items) ? (schema.items as unknown[]) : schema.prefixItems;
  const first = Array.isArray(tuple) ? (tuple as unknown[]) : [];
  const rest = Array.isArray(schema.items) ? schema.additionalItems : schema.items;
  if (schema.uniqueItems === true) definitions.spend(value.length ** 2);
  const items = value.every((each, i) => inner(i < first.length ? first[i] : (rest ?? true), each));
  return (
    items &&
    (schema.uniqueItems !== true || value.every((each, i) => !value.slice(0, i).some((other) => isSame(each, other))))
  );
}

function matchesObject(schema: SchemaObject, value: SchemaObject, inner: Inner, definitions: Definitions): boolean {
  const names = Object.keys(value);
  if (!within(schema, "minProperties", "maxProperties", names.length)) return false;
  const { required, propertyNames } = schema;
  if (Array.isArray(required) && !required.every((name) => Object.hasOwn(value, name as string))) return false;
  if (propertyNames !== undefined && !names.every((name) => inner(propertyNames, name))) return false;
  return names.every((name) => schemasOf(schema, name, definitions).every((each) => inner(each, value[name])));
}

/** A text that is the same for equal JSON values, and only for those. */
export function keyOf(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    isRecord(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each,
  );
}

/** What an object schema says about the property of a name. */
export function schemasOf(schema: SchemaObject, name: string, definitions: Definitions): unknown[] {
  definitions.spend(4);
  const { properties, patternProperties, additionalProperties } = schema;
  const found: unknown[] = [];
  if (isRecord(properties) && Object.hasOwn(properties, name)) found.push(properties[name]);
  if (isRecord(patternProperties)) {
    for (const [pattern, each] of Object.entries(patternProperties))
      if (definitions.finds(pattern, name)) found.push(each);
  }
  if (found.length === 0 && additionalProperties !== undefined) found.push(additionalProperties);
  return found;
}
