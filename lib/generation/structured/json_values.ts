import { describe } from "../../validate";
import { InvalidOptionError } from "../../errors";
import { bytes, choice, literal, optional, repeat, sequence, type Expression } from "./expression";
import { jsonCharacters } from "./characters";
import { anyNumber } from "./numbers";

/** A part of a JSON schema that has keywords. */
export type SchemaObject = Readonly<Record<string, unknown>>;

export const quote = literal('"');
/** A character of a string that no pattern describes: no control characters but tab and line end. */
export const character = jsonCharacters([
  [9, 10],
  [0x20, 0x7e],
  [0x80, 0x10ffff],
]);
export const anyString = sequence(quote, repeat(character, 0, Infinity), quote);

const space = optional(bytes([0x20]));
export const comma = sequence(literal(","), space);
export const colon = sequence(literal(":"), space);

/** Any JSON value. */
export const anyValue: Expression = {
  kind: "rule",
  body: () => choice(anyString, anyNumber, literal("true"), literal("false"), literal("null"), anyArray, anyJsonObject),
};
const anyArray = list(anyValue, 0, Infinity);
/** Any JSON object. */
export const anyJsonObject: Expression = entries(sequence(anyString, colon, anyValue), 0, Infinity);

/** An array of `least` to `most` items. */
export function list(item: Expression, least: number, most: number): Expression {
  return sequence(literal("["), separated(item, least, most), literal("]"));
}

/** An object of `least` to `most` entries, whose names may repeat. */
export function entries(entry: Expression, least: number, most: number): Expression {
  return sequence(literal("{"), separated(entry, least, most), literal("}"));
}

function separated(item: Expression, least: number, most: number): Expression {
  if (most === 0) return sequence();
  const some = sequence(item, repeat(sequence(comma, item), Math.max(least - 1, 0), most - 1));
  return least > 0 ? some : optional(some);
}

/** A value as compact JSON. */
export function jsonText(value: unknown, path: string): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw wrong(path, `has the value ${describe(value)}, which is not JSON`);
  return text;
}

export function isRecord(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error for a schema that means nothing or is not supported. */
export function wrong(path: string, what: string): InvalidOptionError {
  return new InvalidOptionError(`The JSON schema at ${path} ${what}.`);
}
