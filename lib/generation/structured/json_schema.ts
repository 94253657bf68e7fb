import { InvalidOptionError } from "../../errors";
import { describe, suggestion } from "../../validate";
import { jsonCharacters } from "./characters";
import { checkDepth, MOST_LEVELS } from "./depth";
import { withLimitedEffort } from "./effort";
import { Definitions } from "./definitions";
import { choice, choiceOf, literal, nothing, repeat, sequence, type Expression } from "./expression";
import { FORMATS } from "./formats";
import { intersect } from "./intersection";
import { compileArray } from "./json_arrays";
import { allOf, conjunctionOf, countOf, limitsOf, type Conjunction } from "./json_conjunction";
import { areDisjoint } from "./json_disjoint";
import { matches } from "./json_matches";
import { compileObject } from "./json_objects";
import { anyString, anyValue, character, isRecord, jsonText, quote, wrong, type SchemaObject } from "./json_values";
import { anyInteger, anyNumber, integersWithin, multiplesWithin, numbersWithin } from "./numbers";
import { compileRegex, compileSearch } from "./regex";

export { anyJsonObject, colon, comma } from "./json_values";

/** A JSON schema as plain data (draft 2020-12, the keywords that `compileJsonSchema` names). */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

/** Says nothing about which values are valid. */
const ANNOTATIONS = [
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples"],
  ...["deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"],
  // Only what a schema names is written.
  "unevaluatedProperties",
];
const KEYWORDS: readonly string[] = [
  ...["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"],
  ...["properties", "required", "additionalProperties", "patternProperties", "propertyNames"],
  ...[
    "minProperties",
    "maxProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "minItems",
    "maxItems",
    "uniqueItems",
  ],
  ...["minLength", "maxLength", "pattern", "format"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", ...ANNOTATIONS],
];

/** Combinations of alternatives, and parts of a schema, that are compiled at most. */
const MOST_PARTS = 20_000;
const LARGEST_DIVISOR = 1000;

/**
 * Compiles a JSON schema into the language of its values as compact JSON text (single spaces may follow commas and
 * colons). Objects have the properties that the schema names, in its order; others only where it names none. Every text of
 * the language is valid for the schema, but not all that is valid is in it.
 * @throws InvalidOptionError for keywords that are not supported: a constraint that was ignored would be worse
 */
export function compileJsonSchema(schema: unknown, options: SchemaOptions = {}): Expression {
  const { where = "schema", lenient = false } = options;
  checkDepth(where, schema);
  return withLimitedEffort(() => new SchemaCompiler(schema, lenient).compile([schema], where));
}

/** How a schema is compiled. */
export interface SchemaOptions {
  /** Where it stands, for messages. Default "schema". */
  where?: string;
  /** Takes keywords that are not supported as not written, and parts that have no meaning as anything. Default false. */
  lenient?: boolean;
}

/** Compiles schemas that a value must be valid for, all of them. */
export type Compile = (schemas: readonly unknown[], path: string) => Expression;

class SchemaCompiler {
  /** By what they stand for: references, and schemas that a reference leads into. */
  private readonly rules = new Map<string, Expression>();
  private readonly definitions: Definitions;
  private parts = 0;
  private depth = 0;

  constructor(
    root: unknown,
    private readonly lenient: boolean,
  ) {
    this.definitions = new Definitions(root);
  }

  compile(schemas: readonly unknown[], path: string): Expression {
    if (++this.parts > MOST_PARTS) throw wrong(path, `has more than ${MOST_PARTS} parts and combinations`);
    // References may lead on and on.
    if (++this.depth > MOST_LEVELS) throw wrong(path, `is nested more than ${MOST_LEVELS} times`);
    try {
      return this.compileStrictly(schemas, path);
    } catch (error) {
      if (!this.lenient || !(error instanceof InvalidOptionError)) throw error;
      return anyValue;
    } finally {
      this.depth--;
    }
  }

  private compileStrictly(schemas: readonly unknown[], path: string): Expression {
    const different = this.withoutRepeats(schemas.filter((schema) => schema !== true));
    const key = this.referenceKey(different);
    if (key === undefined) return this.compileAll(different, path);
    const known = this.rules.get(key);
    if (known) return known;
    let body = this.lenient ? anyValue : nothing;
    const rule: Expression = { kind: "rule", body: () => body };
    this.rules.set(key, rule);
    // A mistake in it shall be found now, not in the middle of a text.
    body = this.compileAll(different, path);
    return rule;
  }

  /** Takes references, `allOf` and alternatives apart. */
  private compileAll(schemas: readonly unknown[], path: string): Expression {
    const flat = this.flatten(schemas, path, new Set());
    if (!flat) return nothing;
    const at = flat.findIndex((schema) => schema.anyOf !== undefined || schema.oneOf !== undefined);
    const chosen = flat[at];
    if (!chosen) {
      for (const { enum: listed } of flat) if (Array.isArray(listed)) this.definitions.spend(listed.length);
      return this.simple(conjunctionOf(flat, path), path);
    }
    const keyword = chosen.anyOf === undefined ? "oneOf" : "anyOf";
    const { [keyword]: options, ...rest } = chosen;
    if (!Array.isArray(options) || options.length === 0) throw wrong(path, `has an ${keyword} that lists nothing`);
    const others = [...flat.slice(0, at), ...(hasKeywords(rest) ? [rest] : []), ...flat.slice(at + 1)];
    if (keyword === "oneOf") this.checkApart(options, others, path);
    return choiceOf(options.map((each, i) => this.compile([...others, each], `${path}.${keyword}[${i}]`)));
  }

  /** The objects that say all that the schemas say, without references and `allOf`; undefined where no value is valid. */
  private flatten(schemas: readonly unknown[], path: string, within: ReadonlySet<string>): SchemaObject[] | undefined {
    const flat: SchemaObject[] = [];
    if (within.size > MOST_LEVELS) throw wrong(path, `is nested more than ${MOST_LEVELS} times`);
    for (const schema of schemas) {
      // Each reference is taken apart anew where it is met.
      this.definitions.spend(1);
      if (schema === true) continue;
      if (schema === false) return undefined;
      if (!isRecord(schema)) throw wrong(path, `must be an object, true or false, not ${describe(schema)}`);
      this.checkKeywords(schema, path);
      const { $ref: reference, allOf: parts, ...rest } = schema;
      if (reference !== undefined) {
        const name = referenceName(reference, path);
        // One that leads back to itself has no values.
        if (within.has(name)) return undefined;
        const target = this.flatten([this.target(name, path)], name, new Set(within).add(name));
        if (!target) return undefined;
        for (const each of target) flat.push(each);
      }
      if (parts !== undefined) {
        if (!Array.isArray(parts) || parts.length === 0) throw wrong(path, "has an allOf that lists nothing");
        const all = this.flatten(parts, `${path}.allOf`, within);
        if (!all) return undefined;
        for (const each of all) flat.push(each);
      }
      if (hasKeywords(rest)) flat.push(rest);
    }
    return this.withoutRepeats(flat) as SchemaObject[];
  }

  private checkKeywords(schema: SchemaObject, path: string): void {
    if (this.lenient) return;
    for (const keyword of Object.keys(schema)) {
      if (KEYWORDS.includes(keyword)) continue;
      throw wrong(path, `has the keyword "${keyword}", which is not supported.${suggestion(keyword, KEYWORDS)}`);
    }
  }

  /** Exactly one of alternatives is only what is certainly not two of them. */
  private checkApart(options: readonly unknown[], others: readonly SchemaObject[], path: string): void {
    if (this.lenient) return;
    const whole = options.map((option) => (others.length > 0 ? { allOf: [...others, option] } : option));
    for (const [i, a] of whole.entries()) {
      for (const [j, b] of whole.slice(0, i).entries()) {
        if (areDisjoint(a, b, this.definitions)) continue;
        throw wrong(
          path,
          `has a oneOf whose alternatives ${j} and ${i} may both be valid for a value; tell them apart by type or by a ` +
            "required property with a const, or use anyOf",
        );
      }
    }
  }

  /** A value that keywords without alternatives describe. */
  private simple(all: Conjunction, path: string): Expression {
    const { schemas, types, values } = all;
    if (values) {
      // That a value is listed by all that list any is known.
      const others = schemas.map(({ enum: _, const: __, ...rest }) => rest);
      const valid = values.filter(
        (value) => this.lenient || others.every((each) => matches(each, value, this.definitions)),
      );
      return choiceOf(
        valid.map((value) => {
          const text = jsonText(value, path);
          // Each character becomes an expression of its own.
          this.definitions.spend(8 * text.length);
          return literal(text);
        }),
      );
    }
    return types ? choice(...types.map((type) => this.typed(type, all, path))) : anyValue;
  }

  /** A value of a type. Where its keywords cannot be held to and need not be, the type still is. */
  private typed(type: string, all: Conjunction, path: string): Expression {
    if (!this.lenient) return this.typedStrictly(type, all, path);
    try {
      return this.typedStrictly(type, all, path);
    } catch (error) {
      if (!(error instanceof InvalidOptionError)) throw error;
      return this.typedStrictly(type, conjunctionOf([{ type }], path), path);
    }
  }

  private typedStrictly(type: string, all: Conjunction, path: string): Expression {
    const compile: Compile = (schemas, where) => this.compile(schemas, where);
    switch (type) {
      case "object":
        return compileObject(all, path, compile, this.definitions);
      case "array":
        return compileArray(all, path, compile, this.definitions);
      case "string":
        return compileString(all, path);
      case "boolean":
        return choice(literal("true"), literal("false"));
      case "null":
        return literal("null");
      default:
        return compileNumber(type, all, path);
    }
  }

  private target(reference: string, path: string): unknown {
    const target = this.definitions.resolve(reference);
    if (target === undefined) throw wrong(path, `refers to "${reference}", which the schema lacks`);
    return target;
  }

  private withoutRepeats(schemas: readonly unknown[]): unknown[] {
    if (schemas.length < 2) return [...schemas];
    return [...new Map(schemas.map((schema) => [this.textOf(schema), schema])).values()];
  }

  /** What tells schemas with a reference apart; these may contain themselves. Undefined for others. */
  private referenceKey(schemas: readonly unknown[]): string | undefined {
    const hasReference = (schema: unknown): boolean =>
      isRecord(schema) &&
      (schema.$ref !== undefined || (Array.isArray(schema.allOf) && schema.allOf.some(hasReference)));
    return schemas.some(hasReference) ? this.textOf(schemas) : undefined;
  }

  private textOf(schema: unknown): string {
    const text = JSON.stringify(schema);
    this.definitions.spend(text.length / 64);
    return text;
  }
}

function referenceName(reference: unknown, path: string): string {
  if (typeof reference === "string" && reference.startsWith("#")) return reference;
  throw wrong(path, `refers to ${describe(reference)}; only "#/..." within the schema is supported`);
}

function hasKeywords(schema: SchemaObject): boolean {
  return Object.keys(schema).some((keyword) => !ANNOTATIONS.includes(keyword));
}

function compileNumber(type: string, all: Conjunction, path: string): Expression {
  const limits = limitsOf(all, path);
  const divisors = [...new Set(allOf(all, "multipleOf"))];
  const bounded = limits.least !== undefined || limits.most !== undefined;
  if (divisors.length === 0) {
    if (!bounded) return type === "integer" ? anyInteger : anyNumber;
    return type === "integer" ? integersWithin(limits) : numbersWithin(limits);
  }
  const [divisor] = divisors;
  if (divisors.length > 1 || typeof divisor !== "number" || !(divisor > 0)) {
    throw wrong(path, "may have one multipleOf, a number above 0");
  }
  const places = -Math.log10(divisor);
  // A decimal of so many places, which is what is meant by 0.01.
  if (type === "number" && Number(`1e${-Math.round(places)}`) === divisor && places > 0 && places <= 12) {
    return numbersWithin(limits, Math.round(places));
  }
  if (Number.isInteger(divisor) && divisor <= LARGEST_DIVISOR) return multiplesWithin(divisor, limits);
  if (type === "integer" && 1 % divisor === 0) return bounded ? integersWithin(limits) : anyInteger;
  throw wrong(
    path,
    `has the multipleOf ${describe(divisor)}; supported are integers up to ${LARGEST_DIVISOR} and, for numbers, 0.1, 0.01, ...`,
  );
}

function compileString(all: Conjunction, path: string): Expression {
  const least = countOf(all, "minLength", "max", path);
  const most = countOf(all, "maxLength", "min", path);
  const formats = [...new Set(allOf(all, "format"))].map((format) => {
    if (typeof format === "string" && Object.hasOwn(FORMATS, format))
      return compileRegex(FORMATS[format] ?? "", jsonCharacters);
    throw wrong(path, `has the format ${describe(format)}; known are ${Object.keys(FORMATS).join(", ")}`);
  });
  const patterns = [...new Set(allOf(all, "pattern"))].flatMap((pattern) => {
    if (typeof pattern !== "string") throw wrong(path, `has the pattern ${describe(pattern)}, which is no string`);
    try {
      return [compileSearch(pattern, jsonCharacters)];
    } catch (error) {
      // Some schema libraries write a format as an expression, too, and in ways that are not supported.
      if (formats.length > 0 && error instanceof InvalidOptionError) return [];
      throw error;
    }
  });
  if ((most ?? Infinity) < (least ?? 0)) throw wrong(path, "has a maxLength below its minLength");
  const languages = [...formats, ...patterns];
  if (least !== undefined || most !== undefined) {
    const any = languages.length > 0 ? anyCharacter : character;
    languages.push(repeat(any, least ?? 0, most ?? Infinity));
  }
  const [first, ...others] = languages;
  return first ? sequence(quote, others.reduce(intersect, first), quote) : anyString;
}

/** What a pattern may have; each character counts once, however it is written. */
const anyCharacter = jsonCharacters([[0, 0x10ffff]]);
