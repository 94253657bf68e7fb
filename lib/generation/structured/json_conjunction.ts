import { describe } from "../../validate";
import type { Definitions } from "./definitions";
import { keyOf, schemasOf } from "./json_matches";
import { isRecord, wrong, type SchemaObject } from "./json_values";
import type { NumberLimits } from "./numbers";

/** What several schemas say together about a value that must be valid for all of them. */
export interface Conjunction {
  /** As they were given; none has $ref, allOf, anyOf or oneOf. */
  readonly schemas: readonly SchemaObject[];
  /** Undefined: any. */
  readonly types: readonly string[] | undefined;
  /** Undefined: not listed. */
  readonly values: readonly unknown[] | undefined;
}

export const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

/** Keywords that say of which type values are meant, where `type` does not. */
const KIND_OF: Readonly<Record<string, readonly string[]>> = {
  object: [
    ...["properties", "required", "additionalProperties", "patternProperties", "propertyNames"],
    ...["minProperties", "maxProperties"],
  ],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  string: ["pattern", "format", "minLength", "maxLength"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
};

/** Puts schemas together. @throws InvalidOptionError for types and lists of values that are none */
export function conjunctionOf(schemas: readonly SchemaObject[], path: string): Conjunction {
  let types: readonly string[] | undefined;
  let values: readonly unknown[] | undefined;
  for (const schema of schemas) {
    const own = typesOf(schema, path);
    if (own) types = types ? types.flatMap((type) => narrowed(type, own)) : own;
    const listed = valuesOf(schema, path);
    if (listed && values) {
      const keys = new Set(listed.map(keyOf));
      values = values.filter((value) => keys.has(keyOf(value)));
    } else values ??= listed;
  }
  return { schemas, types: types ?? impliedTypes(schemas), values };
}

function typesOf({ type }: SchemaObject, path: string): readonly string[] | undefined {
  if (type === undefined) return undefined;
  const types: readonly unknown[] = Array.isArray(type) ? (type as unknown[]) : [type];
  const unknown = types.find((each) => !TYPES.includes(each as string));
  if (types.length > 0 && unknown === undefined) return types as string[];
  throw wrong(path, `has the type ${describe(types.length > 0 ? unknown : type)}; known are ${TYPES.join(", ")}`);
}

/** What is left of a type where others are allowed. */
function narrowed(type: string, others: readonly string[]): string[] {
  if (others.includes(type)) return [type];
  if (type === "number" && others.includes("integer")) return ["integer"];
  return type === "integer" && others.includes("number") ? ["integer"] : [];
}

function valuesOf(schema: SchemaObject, path: string): readonly unknown[] | undefined {
  if ("const" in schema) return [schema.const];
  if (schema.enum === undefined) return undefined;
  if (Array.isArray(schema.enum) && schema.enum.length > 0) return schema.enum as unknown[];
  throw wrong(path, "has an enum that lists nothing");
}

function impliedTypes(schemas: readonly SchemaObject[]): readonly string[] | undefined {
  const types = Object.keys(KIND_OF).filter((type) =>
    schemas.some((schema) => KIND_OF[type]?.some((keyword) => schema[keyword] !== undefined)),
  );
  return types.length > 0 ? types : undefined;
}

/** The values of a keyword in all schemas that have it. */
export function allOf({ schemas }: Conjunction, keyword: string): unknown[] {
  return schemas.flatMap((schema) => (schema[keyword] === undefined ? [] : [schema[keyword]]));
}

/** The largest (or smallest) count that a keyword gives; undefined where none does. */
export function countOf(all: Conjunction, keyword: string, pick: "max" | "min", path: string): number | undefined {
  const counts = allOf(all, keyword).map((value) => {
    if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 10_000) return value as number;
    throw wrong(path, `has the ${keyword} ${describe(value)}; it must be an integer from 0 to 10000`);
  });
  return counts.length > 0 ? Math[pick](...counts) : undefined;
}

/** The narrowest limits of numbers. */
export function limitsOf(all: Conjunction, path: string): NumberLimits {
  const limits: NumberLimits = {};
  const numbers = (keyword: string): number[] =>
    allOf(all, keyword).map((value) => {
      if (typeof value === "number" && Number.isFinite(value)) return value;
      throw wrong(path, `has the ${keyword} ${describe(value)}; it must be a number`);
    });
  for (const value of numbers("minimum")) limits.least = Math.max(limits.least ?? -Infinity, value);
  for (const value of numbers("exclusiveMinimum")) {
    if (value >= (limits.least ?? -Infinity)) Object.assign(limits, { least: value, above: true });
  }
  for (const value of numbers("maximum")) limits.most = Math.min(limits.most ?? Infinity, value);
  for (const value of numbers("exclusiveMaximum")) {
    if (value <= (limits.most ?? Infinity)) Object.assign(limits, { most: value, below: true });
  }
  const { least = -Infinity, most = Infinity } = limits;
  if (least > most || (least === most && (limits.above ?? limits.below ?? false))) {
    throw wrong(path, "has bounds between which there is no number");
  }
  return limits;
}

/** An object's properties by name, each with all that is said of it, in the order in which they are named first. */
export function propertiesOf({ schemas }: Conjunction, path: string, definitions: Definitions): Map<string, unknown[]> {
  const names = new Set<string>();
  for (const { properties } of schemas) {
    if (properties === undefined) continue;
    if (!isRecord(properties)) throw wrong(path, "has properties that are no object");
    for (const name of Object.keys(properties)) names.add(name);
  }
  return new Map(
    Array.from(names, (name) => [name, schemas.flatMap((schema) => schemasOf(schema, name, definitions))]),
  );
}

/** Names that must be there. */
export function requiredOf(all: Conjunction, path: string): Set<string> {
  const names = new Set<string>();
  for (const list of allOf(all, "required")) {
    if (!Array.isArray(list)) throw wrong(path, "has a required that is no array");
    for (const name of list as unknown[]) {
      if (typeof name !== "string") throw wrong(path, `requires ${describe(name)}, which is no name`);
      names.add(name);
    }
  }
  return names;
}
