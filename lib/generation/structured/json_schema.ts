import { InvalidOptionError } from "../../errors";
import { describe, suggestion } from "../../validate";
import { beyondAscii, bytes, choice, literal, optional, range, repeat, sequence, type Expression } from "./expression";
import { compileRegex, type WriteCharacters } from "./regex";

/** A JSON schema as plain data (draft 2020-12, the keywords that `compileJsonSchema` names). */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

/** Says nothing about which values are valid. */
const ANNOTATIONS = [
  "$schema",
  "$id",
  "$comment",
  "$defs",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
];
const KEYWORDS: readonly string[] = [
  ...["type", "enum", "const", "anyOf", "$ref", "properties", "required", "additionalProperties", "items"],
  ...["prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum"],
  ...["deprecated", "readOnly", "writeOnly", ...ANNOTATIONS],
];
const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];
const FORMATS: Readonly<Record<string, string>> = {
  date: "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])",
  time: "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
  "date-time":
    "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
  email: "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+",
  ipv4: "((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)",
};

const ESCAPES: Readonly<Record<number, string>> = { 8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\" };

/** Characters inside a JSON string. */
const jsonCharacters: WriteCharacters = (ascii, beyond) => {
  const plain = ascii.filter((code) => code >= 0x20 && code !== 34 && code !== 92);
  const options: Expression[] = plain.length > 0 ? [bytes(plain)] : [];
  for (const code of ascii) {
    const short = ESCAPES[code];
    if (short !== undefined) options.push(literal(`\\${short}`));
    else if (code < 0x20) options.push(literal(`\\u${code.toString(16).padStart(4, "0")}`));
  }
  if (beyond) options.push(beyondAscii);
  return choice(...options);
};

const quote = literal('"');
const character = jsonCharacters([...range(0x20, 0x7e), 10, 9], true);
const anyString = sequence(quote, repeat(character, 0, Infinity), quote);
const digit = bytes(range(0x30, 0x39));
const wholeNumber = choice(literal("0"), sequence(bytes(range(0x31, 0x39)), repeat(digit, 0, 14)));
const anyInteger = sequence(optional(literal("-")), wholeNumber);
const exponent = sequence(bytes([0x65, 0x45]), optional(bytes([0x2b, 0x2d])), digit, optional(digit));
const anyNumber = sequence(anyInteger, optional(sequence(literal("."), repeat(digit, 1, 17))), optional(exponent));
const space = optional(literal(" "));
export const comma = sequence(literal(","), space);
export const colon = sequence(literal(":"), space);

const anyValue: Expression = {
  kind: "rule",
  name: "any value",
  body: () => choice(anyString, anyNumber, literal("true"), literal("false"), literal("null"), anyArray, anyObject),
};
const anyArray = list(anyValue, 0, Infinity);
const anyObject = entries(sequence(anyString, colon, anyValue));

/** Any JSON object. */
export const anyJsonObject: Expression = anyObject;

/**
 * Compiles a JSON schema into the language of its values as compact JSON text (single spaces may follow commas and
 * colons). Objects have the properties that the schema names, in its order; others only where `additionalProperties` is
 * true or a schema. Every text of the language is valid for the schema, but not all that is valid is in it.
 * @throws InvalidOptionError for keywords that are not supported: a constraint that was ignored would be worse
 */
export function compileJsonSchema(schema: unknown, options: SchemaOptions = {}): Expression {
  const { where = "schema", lenient = false } = options;
  return new SchemaCompiler(schema, lenient).compile(schema, where);
}

/** How a schema is compiled. */
export interface SchemaOptions {
  /** Where it stands, for messages. Default "schema". */
  where?: string;
  /** Takes keywords that are not supported as not written, and parts that have no meaning as anything. Default false. */
  lenient?: boolean;
}

class SchemaCompiler {
  private readonly rules = new Map<string, Expression>();

  constructor(
    private readonly root: unknown,
    private readonly lenient: boolean,
  ) {}

  compile(schema: unknown, path: string): Expression {
    if (!this.lenient) return this.compileStrictly(schema, path);
    try {
      return this.compileStrictly(schema, path);
    } catch (error) {
      if (!(error instanceof InvalidOptionError)) throw error;
      return anyValue;
    }
  }

  private compileStrictly(schema: unknown, path: string): Expression {
    if (schema === true) return anyValue;
    if (!isRecord(schema)) throw wrong(path, `must be an object or true, not ${describe(schema)}`);
    for (const keyword of Object.keys(schema)) {
      if (this.lenient || KEYWORDS.includes(keyword)) continue;
      throw wrong(path, `has the keyword "${keyword}", which is not supported.${suggestion(keyword, KEYWORDS)}`);
    }
    const { $ref: reference, enum: values, anyOf } = schema;
    if (reference !== undefined) return this.reference(reference, path);
    if ("const" in schema) return literal(jsonText(schema.const, path));
    if (values !== undefined) {
      if (!Array.isArray(values) || values.length === 0) throw wrong(path, "has an enum that lists nothing");
      return choice(...values.map((value: unknown) => literal(jsonText(value, path))));
    }
    if (anyOf !== undefined) {
      if (!Array.isArray(anyOf) || anyOf.length === 0) throw wrong(path, "has an anyOf that lists nothing");
      return choice(...anyOf.map((each, i) => this.compile(each, `${path}.anyOf[${i}]`)));
    }
    const type = schema.type ?? ("properties" in schema ? "object" : "items" in schema ? "array" : undefined);
    if (type === undefined) return anyValue;
    const types: unknown[] = Array.isArray(type) ? type : [type];
    return choice(...types.map((each) => this.typed(each, schema, path)));
  }

  private typed(type: unknown, schema: Record<string, unknown>, path: string): Expression {
    switch (type) {
      case "object":
        return this.object(schema, path);
      case "array":
        return this.array(schema, path);
      case "string":
        return this.string(schema, path);
      case "integer":
        return integer(schema, path);
      case "number":
        if (schema.minimum === undefined && schema.maximum === undefined) return anyNumber;
        throw wrong(path, "bounds a number, which is supported for integers only");
      case "boolean":
        return choice(literal("true"), literal("false"));
      case "null":
        return literal("null");
      default:
        throw wrong(path, `has the type ${describe(type)}; known are ${TYPES.join(", ")}`);
    }
  }

  private object(schema: Record<string, unknown>, path: string): Expression {
    const { properties = {}, required = [], additionalProperties = false } = schema;
    if (!isRecord(properties)) throw wrong(path, "has properties that are no object");
    if (!Array.isArray(required)) throw wrong(path, "has a required that is no array");
    const names = Object.keys(properties);
    const missing = (required as unknown[]).find((name) => !names.includes(name as string));
    if (missing !== undefined) throw wrong(path, `requires ${describe(missing)}, which its properties do not name`);
    if (names.length === 0) {
      if (additionalProperties === false && schema.properties !== undefined) return literal("{}");
      const value = isRecord(additionalProperties)
        ? this.compile(additionalProperties, `${path}.additionalProperties`)
        : anyValue;
      return entries(sequence(anyString, colon, value));
    }
    // Further properties could repeat a name, so they are never written where some are named.
    const members = names.map((name) => ({
      required: (required as unknown[]).includes(name),
      text: sequence(literal(JSON.stringify(name)), colon, this.compile(properties[name], `${path}.${name}`)),
    }));
    // From the last to the first: what may follow once a member stands before it (true) or none does.
    let after: Expression = sequence();
    let first: Expression = sequence();
    for (const member of members.reverse()) {
      const written = sequence(comma, member.text, after);
      const opening = sequence(member.text, after);
      first = member.required ? opening : choice(opening, first);
      after = member.required ? written : choice(written, after);
    }
    return sequence(literal("{"), first, literal("}"));
  }

  private array(schema: Record<string, unknown>, path: string): Expression {
    const least = count(schema, "minItems", path) ?? 0;
    const most = count(schema, "maxItems", path) ?? Infinity;
    const { prefixItems, items } = schema;
    if (prefixItems !== undefined) {
      if (
        !Array.isArray(prefixItems) ||
        prefixItems.length === 0 ||
        items !== undefined ||
        schema.minItems !== undefined
      ) {
        throw wrong(path, "may have a list of prefixItems, and then no items and minItems");
      }
      const [head = literal(""), ...rest] = prefixItems.map((each, i) =>
        this.compile(each, `${path}.prefixItems[${i}]`),
      );
      return sequence(literal("["), head, ...rest.flatMap((each) => [comma, each]), literal("]"));
    }
    if (most < least) throw wrong(path, "has a maxItems below its minItems");
    return list(items === undefined ? anyValue : this.compile(items, `${path}.items`), least, most);
  }

  private string(schema: Record<string, unknown>, path: string): Expression {
    const { pattern, format } = schema;
    const least = count(schema, "minLength", path);
    const most = count(schema, "maxLength", path);
    if (pattern === undefined && format === undefined) {
      if (least === undefined && most === undefined) return anyString;
      if ((most ?? Infinity) < (least ?? 0)) throw wrong(path, "has a maxLength below its minLength");
      return sequence(quote, repeat(character, least ?? 0, most ?? Infinity), quote);
    }
    if (least !== undefined || most !== undefined) {
      throw wrong(path, "combines lengths with a pattern or format; give one of them");
    }
    // Where both are given, as some schema libraries do, the pattern is the format's own.
    const source =
      (typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined) ?? pattern;
    if (typeof source !== "string") {
      throw wrong(
        path,
        `has the pattern or format ${describe(pattern ?? format)}; known formats: ${Object.keys(FORMATS).join(", ")}`,
      );
    }
    return sequence(quote, compileRegex(source, jsonCharacters), quote);
  }

  private reference(reference: unknown, path: string): Expression {
    if (typeof reference !== "string" || !reference.startsWith("#")) {
      throw wrong(path, `refers to ${describe(reference)}; only "#/..." within the schema is supported`);
    }
    const known = this.rules.get(reference);
    if (known) return known;
    let target: unknown = this.root;
    for (const part of reference.split("/").slice(1)) {
      const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
      target =
        typeof target === "object" && target !== null && Object.hasOwn(target, key)
          ? (target as Record<string, unknown>)[key]
          : undefined;
    }
    if (target === undefined) throw wrong(path, `refers to "${reference}", which the schema lacks`);
    let body: Expression | undefined;
    const rule: Expression = { kind: "rule", name: reference, body: () => (body ??= this.compile(target, reference)) };
    this.rules.set(reference, rule);
    // A mistake in it shall be found now, not in the middle of a text.
    body = this.compile(target, reference);
    return rule;
  }
}

function list(item: Expression, least: number, most: number): Expression {
  const more = repeat(sequence(comma, item), Math.max(least - 1, 0), Math.max(most - 1, 0));
  const some = sequence(item, more);
  if (most === 0) return literal("[]");
  return sequence(literal("["), least > 0 ? some : optional(some), literal("]"));
}

function entries(entry: Expression): Expression {
  return sequence(literal("{"), optional(sequence(entry, repeat(sequence(comma, entry), 0, Infinity))), literal("}"));
}

function integer(schema: Record<string, unknown>, path: string): Expression {
  const { minimum, maximum } = schema;
  if (minimum === undefined && maximum === undefined) return anyInteger;
  const [least, most] = [minimum ?? -999_999_999_999_999, maximum ?? 999_999_999_999_999];
  if (!Number.isSafeInteger(least) || !Number.isSafeInteger(most) || (least as number) > (most as number)) {
    throw wrong(path, "has bounds that are no integers in order");
  }
  const [low, high] = [least as number, most as number];
  const options: Expression[] = [];
  if (low < 0) options.push(sequence(literal("-"), choice(...between(Math.max(-high, 1), -low))));
  if (high >= 0) options.push(choice(...between(Math.max(low, 0), high)));
  return choice(...options);
}

/** The numbers from `low` to `high`, neither negative, as digits. */
function between(low: number, high: number): Expression[] {
  const options: Expression[] = [];
  let from = low;
  while (from <= high) {
    // The widest run of numbers that end in any digits.
    let zeros = 0;
    while (from > 0 && from % 10 ** (zeros + 1) === 0 && from + 10 ** (zeros + 1) - 1 <= high) zeros++;
    const size = 10 ** zeros;
    const head = Math.floor(from / size);
    const last = Math.min(head - (head % 10) + 9, Math.floor((high - (size - 1)) / size));
    const prefix = head >= 10 ? String(Math.floor(head / 10)) : "";
    options.push(
      sequence(literal(prefix), bytes(range(0x30 + (head % 10), 0x30 + (last % 10))), repeat(digit, zeros, zeros)),
    );
    from = (last + 1) * size;
  }
  return options;
}

function count(schema: Record<string, unknown>, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 10_000) return value as number;
  throw wrong(path, `has the ${keyword} ${describe(value)}; it must be an integer from 0 to 10000`);
}

function jsonText(value: unknown, path: string): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw wrong(path, `has the value ${describe(value)}, which is not JSON`);
  return text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, what: string): InvalidOptionError {
  return new InvalidOptionError(`The JSON schema at ${path} ${what}.`);
}
