/** Forms that strangers ask for: whatever they are, refused by a typed error or compiled in bounded time, memory and depth. */
import { InvalidOptionError } from "../../lib/errors";
import { Automaton } from "../../lib/generation/structured/automaton";
import { Definitions } from "../../lib/generation/structured/definitions";
import { formOf } from "../../lib/generation/structured/form";
import { compileGrammar } from "../../lib/generation/structured/grammar";
import { matches } from "../../lib/generation/structured/json_matches";
import { compileJsonSchema } from "../../lib/generation/structured/json_schema";
import { compileRegex } from "../../lib/generation/structured/regex";
import { uniform } from "../helpers/random";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function nested(depth: number, around: (inner: unknown) => unknown): unknown {
  return upTo(depth).reduce(around, { type: "string" });
}

const schema = (value: unknown): Automaton => new Automaton(compileJsonSchema(value));
const regex = (source: string): Automaton => new Automaton(compileRegex(source));
const grammar = (source: string): Automaton => new Automaton(compileGrammar(source));

const DEPTHS = [250, 50_000];

describe.each(DEPTHS)("nested %i times", (depth) => {
  test.each([
    ["groups", () => regex("(".repeat(depth) + "a" + ")".repeat(depth))],
    ["repeated groups", () => regex("(?:".repeat(depth) + "a" + ")*".repeat(depth))],
    ["alternatives", () => regex("(a|".repeat(depth) + "a" + ")".repeat(depth))],
    ["groups of a grammar", () => grammar(`root ::= ${"(".repeat(depth)}"a"${")".repeat(depth)}`)],
    ["objects", () => schema(nested(depth, (a) => ({ type: "object", properties: { a }, required: ["a"] })))],
    ["arrays", () => schema(nested(depth, (items) => ({ type: "array", items })))],
    ["anyOf", () => schema(nested(depth, (each) => ({ anyOf: [each] })))],
    ["oneOf", () => schema(nested(depth, (each) => ({ oneOf: [each] })))],
    ["a constant", () => schema({ const: nested(2 * depth, (each) => [each]) })],
    [
      "references",
      () =>
        schema({
          $ref: "#/$defs/0",
          $defs: Object.fromEntries(
            upTo(Math.min(depth, 5000)).map((i) => [i, { allOf: [{ $ref: `#/$defs/${i + 1}` }] }]),
          ),
        }),
    ],
    [
      "a format's key",
      () => formOf({ type: "json_schema", schema: nested(2 * depth, (not) => ({ not })) as Record<string, unknown> }),
    ],
  ])("%s", (_, compile) => {
    expect(compile).toThrow(InvalidOptionError);
  });
});

test("a schema object that contains itself is refused", () => {
  const loop: Record<string, unknown> = { type: "array" };
  loop.items = loop;
  expect(() => schema(loop)).toThrow(InvalidOptionError);
});

test.each([
  ["an enum of 200,000", { enum: upTo(200_000) }],
  ["an enum for each of 2000 alternatives", { enum: upTo(5000), anyOf: upTo(2000).map((i) => ({ minimum: i })) }],
  [
    "a megabyte for each of 3000 alternatives",
    { const: "x".repeat(1e6), anyOf: upTo(3000).map((i) => ({ minLength: i })) },
  ],
  [
    "thousands of objects in one",
    { allOf: upTo(3000).map((i) => ({ type: "object", properties: { [`p${i}`]: { type: "string" } } })) },
  ],
  ["alternatives by the square", { oneOf: upTo(10_000).map((i) => ({ const: i })) }],
  [
    "values that lead through references without end",
    {
      const: { x: 1 },
      properties: { x: { $ref: "#/$defs/a" } },
      $defs: { a: { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/a" }] } },
    },
  ],
  ["required names that are long and many", { type: "object", required: upTo(50_000).map(String) }],
])("%s: refused", (_, value) => {
  expect(() => schema(value)).toThrow(InvalidOptionError);
});

test.each([
  ["100,000 quantifiers", () => regex("a{1}".repeat(24_000))],
  ["more characters than an expression may have", () => regex("a".repeat(200_000))],
  [
    "a chain of 20,000 rules",
    () =>
      grammar(
        `root ::= r0\n${upTo(20_000)
          .map((i) => `r${i} ::= r${i + 1}`)
          .join("\n")}`,
      ),
  ],
  ["powers of repetition", () => regex("((a{1,100}){1,100}){1,100}")],
])("%s: refused, or compiled", (_, compile) => {
  try {
    compile();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionError);
  }
});

describe("expressions that JavaScript's engine takes for ever over", () => {
  const evil = `${"a".repeat(50)}!`;

  test("for a listed value", () => {
    expect(() => schema({ enum: [evil], pattern: "^(a+)+$" })).toThrow(InvalidOptionError);
    const automaton = schema({ enum: [evil, "aaa"], pattern: "^(a+)+$" });
    expect(automaton.run(automaton.start, Buffer.from('"aaa"'))?.accepting).toBe(true);
    expect(automaton.run(automaton.start, Buffer.from(`"${evil}"`))).toBeUndefined();
  });

  test("for a property's name", () => {
    const automaton = schema({
      type: "object",
      properties: { [evil]: { type: "integer" } },
      required: [evil],
      patternProperties: { "^(a|a)*$": { type: "boolean" } },
    });
    expect(automaton.run(automaton.start, Buffer.from(`{"${evil}":1}`))?.accepting).toBe(true);
  });
});

test("an expression is found where JavaScript finds it", () => {
  const random = uniform(3);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const atoms = ["a", "b", "[ab]", "[^a]", ".", "\\d", "(?:ab)", "(a|b1)", "1"];
  for (let round = 0; round < 400; round++) {
    const body = (): string =>
      upTo(1 + Math.floor(random() * 3))
        .map(() => pick(atoms) + pick(["", "", "*", "+", "?", "{2}"]))
        .join("");
    const pattern = upTo(1 + Math.floor(random() * 2))
      .map(() => pick(["", "^"]) + body() + pick(["", "$"]))
      .join("|");
    for (let i = 0; i < 5; i++) {
      const text = upTo(Math.floor(random() * 6))
        .map(() => pick(["a", "b", "1", "é", "\n"]))
        .join("");
      const found = matches({ pattern }, text, new Definitions({}));
      expect([pattern, text, found]).toEqual([pattern, text, new RegExp(pattern, "u").test(text)]);
    }
  }
});
