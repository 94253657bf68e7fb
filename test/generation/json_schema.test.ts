/** The language of a JSON schema: what is in it is valid by ajv, an independent validator, and contains what it should. */
import { Ajv2020 } from "ajv/dist/2020";
import addFormats from "ajv-formats";
import { InvalidOptionError } from "../../lib";
import { Definitions } from "../../lib/generation/structured/definitions";
import { Automaton, type State } from "../../lib/generation/structured/automaton";
import { compileJsonSchema } from "../../lib/generation/structured/json_schema";
import { matches } from "../../lib/generation/structured/json_matches";
import { Random } from "../../lib/sampling";
import { SCHEMAS } from "../helpers/json_schemas";

jest.setTimeout(60_000);

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);

function accepts(automaton: Automaton, text: string): boolean {
  return automaton.run(automaton.start, Buffer.from(text))?.accepting ?? false;
}

function compiled(schema: unknown): Automaton {
  return new Automaton(compileJsonSchema(schema));
}

/** The bytes that may follow in a state, and those of them that end strings, arrays and objects; walks come back to states. */
const followers = new WeakMap<State, { all: readonly number[]; ending: readonly number[] }>();

function followersOf(automaton: Automaton, state: State): { all: readonly number[]; ending: readonly number[] } {
  let known = followers.get(state);
  if (!known) {
    const all = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => automaton.step(state, byte));
    known = { all, ending: all.filter((byte) => '"]}'.includes(String.fromCharCode(byte))) };
    followers.set(state, known);
  }
  return known;
}

/** A random text of the language; undefined where it does not end in time. */
function walk(automaton: Automaton, random: Random): string | undefined {
  const bytes: number[] = [];
  let state: State = automaton.start;
  for (let i = 0; i < 2000; i++) {
    if (state.final || (state.accepting && random.nextUint32() % 4 === 0)) return Buffer.from(bytes).toString();
    const { all, ending } = followersOf(automaton, state);
    // Strings, arrays and objects shall end some time.
    const from = ending.length > 0 && random.nextUint32() % 8 < 2 + i / 100 ? ending : all;
    const byte = from[random.nextUint32() % from.length]!;
    bytes.push(byte);
    state = automaton.step(state, byte)!;
  }
  return undefined;
}

/** Further schemas that only walks shall prove. */
const FURTHER: Readonly<Record<string, unknown>> = {
  "half-open numbers": { type: "number", minimum: 0.5 },
  "a tiny range": { type: "number", exclusiveMinimum: 1e-7, maximum: 3e-7 },
  "a range around a decimal": { type: "number", exclusiveMinimum: 0.1, exclusiveMaximum: 0.3 },
  "next to a limit with many digits": { type: "number", exclusiveMaximum: 4, minimum: 3.999 },
  "negative numbers": { type: "number", exclusiveMaximum: 0 },
  "zero only": { type: "number", minimum: 0, maximum: 0 },
  "large limits": { type: "integer", minimum: 1e14, maximum: 1e21 },
  "fractional limits of integers": { type: "integer", minimum: -2.5, exclusiveMaximum: 3 },
  "multiples of seven": { type: "integer", multipleOf: 7, exclusiveMinimum: 0, maximum: 400 },
  halves: { type: "number", multipleOf: 1, minimum: -3, maximum: 3 },
  "a pattern bound at its start only": { type: "string", pattern: "^ab", maxLength: 6 },
  "a pattern bound at its end only": { type: "string", pattern: "z$", minLength: 2, maxLength: 4 },
  "two patterns": {
    allOf: [{ type: "string", pattern: "^[a-z]+$" }, { pattern: "^.{2,5}$" }, { pattern: "^[^q]*x[^q]*$" }],
  },
  "format and length": { type: "string", format: "hostname", maxLength: 12 },
  "all formats": {
    type: "array",
    prefixItems: ["date", "time", "date-time", "duration", "uuid", "email", "hostname", "ipv4", "ipv6", "uri"].map(
      (format) => ({
        type: "string",
        format,
      }),
    ),
  },
  "siblings of anyOf": {
    type: "object",
    properties: { a: { type: "integer" } },
    required: ["a"],
    anyOf: [{ properties: { a: { minimum: 5 } } }, { properties: { a: { maximum: -5 } } }],
  },
  "siblings of a reference": {
    $ref: "#/$defs/n",
    maximum: 3,
    $defs: { n: { type: "integer", minimum: 0, maximum: 9 } },
  },
  "an enum with a type": { type: "string", enum: ["a", 1, "bcd", null], maxLength: 2 },
  "closed parts": {
    allOf: [
      { type: "object", properties: { a: { type: "null" }, b: { type: "null" } }, additionalProperties: false },
      { type: "object", properties: { c: { type: "null" }, b: { type: "null" } }, required: ["b"] },
    ],
  },
  "names by pattern": {
    type: "object",
    patternProperties: { "^x-[a-z]{1,3}$": { type: "boolean" } },
    maxProperties: 2,
  },
  "names by enum": {
    type: "object",
    propertyNames: { enum: ["a", "b"] },
    additionalProperties: { const: 0 },
    minProperties: 1,
  },
  "named and by pattern": {
    type: "object",
    properties: { ab: { type: "integer" }, c: true },
    patternProperties: { "^a": { minimum: 3, maximum: 4 } },
    required: ["ab"],
  },
  "a recursion through allOf": {
    $ref: "#/$defs/b",
    $defs: {
      a: { type: "object", properties: { next: { $ref: "#/$defs/a" } } },
      b: {
        allOf: [
          { $ref: "#/$defs/a" },
          { properties: { next: { $ref: "#/$defs/b" }, n: { const: 1 } }, required: ["n"] },
        ],
      },
    },
  },
  "alternatives by type": {
    oneOf: [{ type: "string", maxLength: 2 }, { type: "integer" }, { type: "array", maxItems: 0 }],
  },
  "alternatives by limits": {
    oneOf: [
      { type: "number", maximum: 0 },
      { type: "number", exclusiveMinimum: 0, maximum: 2 },
    ],
  },
  "alternatives by what is required": {
    oneOf: [
      { type: "object", properties: { a: true }, required: ["a"], additionalProperties: false },
      { type: "object", properties: { b: { const: 1 } }, required: ["b"], additionalProperties: false },
    ],
  },
  "a choice of which one has no values": {
    anyOf: [false, { type: "string", allOf: [{ type: "integer" }] }, { const: 1 }],
  },
  "items of an older draft": { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], items: false },
  anything: {},
};

describe.each(Object.entries({ ...SCHEMAS, ...FURTHER }))("%s", (_, schema) => {
  test("every text is valid", () => {
    const automaton = compiled(schema);
    const validate = ajv.compile(schema as object);
    const random = new Random(7);
    const texts = new Set<string>();
    let ended = 0;
    for (let i = 0; i < 150; i++) {
      const text = walk(automaton, random);
      if (text === undefined) continue;
      ended++;
      if (texts.has(text)) continue;
      texts.add(text);
      const value: unknown = JSON.parse(text);
      if (!validate(value)) throw new Error(`${text}: ${ajv.errorsText(validate.errors)}`);
      expect(matches(schema, value, new Definitions(schema))).toBe(true);
    }
    expect(ended).toBeGreaterThan(75);
  });
});

describe("numbers between limits", () => {
  test("every decimal of few places that is within, and no other", () => {
    const random = new Random(3);
    const pick = (): number => ((random.nextUint32() % 4001) - 2000) / [1, 10, 100][random.nextUint32() % 3]!;
    for (let round = 0; round < 150; round++) {
      const [low, high] = [pick(), pick()].sort((a, b) => a - b) as [number, number];
      if (low === high) continue;
      const [above, below] = [random.nextUint32() % 2 === 0, random.nextUint32() % 2 === 0];
      const schema = {
        type: "number",
        ...(above ? { exclusiveMinimum: low } : { minimum: low }),
        ...(below ? { exclusiveMaximum: high } : { maximum: high }),
      };
      const automaton = compiled(schema);
      const near = [low, high].flatMap((limit) => [-0.02, -0.01, -0.001, 0, 0.001, 0.01, 0.02].map((by) => limit + by));
      for (const value of [...near, ...Array.from({ length: 40 }, pick)]) {
        const text = String(Number(value.toFixed(3)));
        const number = Number(text);
        const valid = (above ? number > low : number >= low) && (below ? number < high : number <= high);
        expect([schema, text, accepts(automaton, text)]).toEqual([schema, text, valid]);
      }
    }
  });

  test("multiples of an integer within limits, and no others", () => {
    const automaton = compiled({ type: "integer", multipleOf: 12, minimum: -50, maximum: 130 });
    for (let value = -80; value <= 200; value++) {
      expect([value, accepts(automaton, String(value))]).toEqual([
        value,
        value % 12 === 0 && value >= -50 && value <= 130,
      ]);
    }
  });

  test("decimals of a few places by multipleOf 0.01", () => {
    const automaton = compiled({ type: "number", multipleOf: 0.01, minimum: 0, maximum: 10 });
    for (const text of ["0", "1.5", "9.99", "10", "10.00"])
      expect([text, accepts(automaton, text)]).toEqual([text, true]);
    for (const text of ["0.001", "10.01", "-1"]) expect([text, accepts(automaton, text)]).toEqual([text, false]);
  });
});

test("texts that values have are in the language", () => {
  const examples: [string, unknown][] = [
    ["person", { name: "Ann", age: 7, email: "a.b@c-d.org" }],
    ["shape", { kind: "box", width: 64, height: 1 }],
    ["identified", { id: 500, title: "x" }],
    ["tree", { value: 1, children: [{ value: -9, children: [] }, { value: 2 }] }],
    ["tuple", ["a", 2000, [1], true, false]],
    ["weekdays", ["sun", "mon"]],
    ["bounded", 'Abc\n"é'],
    ["unicode", { word: "ß一", 'quo"te\\d': 'a"b\\c\n' }],
    ["scores", { x: 1, y: 10 }],
  ];
  for (const [name, value] of examples) {
    expect([name, accepts(compiled(SCHEMAS[name]), JSON.stringify(value))]).toEqual([name, true]);
  }
});

test("tools and schemas with references of the same name are not mixed up", () => {
  const of = (value: number): object => ({ $ref: "#/$defs/a", $defs: { a: { const: value } } });
  const both = {
    kind: "sequence",
    parts: [compileJsonSchema(of(1)), compileJsonSchema(of(2))],
  } as const;
  const automaton = new Automaton(both);
  expect(accepts(automaton, "12")).toBe(true);
  expect(accepts(automaton, "11")).toBe(false);
});

test.each<[unknown, RegExp]>([
  [{ type: "object", patternPropertys: {} }, /keyword "patternPropertys".*patternProperties/],
  [{ not: {} }, /keyword "not", which is not supported/],
  [{ type: "object", if: {} }, /keyword "if"/],
  [{ type: "number", minimum: "1" }, /schema has the minimum '1'; it must be a number/],
  [{ type: "number", minimum: 2, maximum: 1 }, /no number/],
  [{ type: "number", exclusiveMinimum: 1, maximum: 1 }, /no number/],
  [{ type: "integer", multipleOf: 0 }, /multipleOf/],
  [{ type: "number", multipleOf: 0.3 }, /multipleOf 0.3/],
  [{ type: "string", format: "colour" }, /format 'colour'; known are date/],
  [{ type: "string", pattern: "(?=a)" }, /The regular expression/],
  [{ type: "array", uniqueItems: true }, /uniqueItems/],
  [{ type: "array", minItems: 3, maxItems: 2 }, /maxItems below its minItems/],
  [{ type: "object", properties: { a: true }, minProperties: 2 }, /minProperties above/],
  [{ oneOf: [{ type: "integer" }, { type: "number" }] }, /alternatives 0 and 1 may both be valid/],
  [{ oneOf: [] }, /oneOf that lists nothing/],
  [{ allOf: [] }, /allOf that lists nothing/],
  [{ $ref: "other.json" }, /refers to 'other.json'/],
  [{ properties: { a: { items: { type: "x" } } } }, /at schema\.a\.items has the type 'x'/],
])("%j is refused, saying where and why", (schema, message) => {
  expect(() => compiled(schema)).toThrow(InvalidOptionError);
  expect(() => compiled(schema)).toThrow(message);
});

describe("schemas without a value", () => {
  test.each([
    { enum: [1], type: "string" },
    { allOf: [{ type: "string" }, { type: "integer" }] },
    { type: "object", properties: { a: false }, required: ["a"] },
    { type: "number", minimum: 1e-300, maximum: 2e-300 },
    { allOf: [{ type: "string", pattern: "^a+$" }, { pattern: "^b+$" }] },
    false,
  ])("%j: that is said before a text is begun", (schema) => {
    expect(() => compiled(schema)).toThrow(/No text has this form/);
  });
});

describe("schemas that explode are refused in bounded time", () => {
  test.each<[string, unknown]>([
    [
      "combinations",
      { allOf: Array.from({ length: 20 }, (_, i) => ({ anyOf: [{ minimum: i }, { maximum: i }, { const: i }] })) },
    ],
    ["a deterministic pattern", { type: "string", pattern: "^[ab]*a[ab]{30}$", minLength: 5, maxLength: 9000 }],
    ["lengths times a pattern", { type: "string", pattern: "^(?:[a-z]{0,300}[0-9]{0,300}){3}$", maxLength: 10000 }],
  ])("%s", (_, schema) => {
    expect(() => compiled(schema)).toThrow(InvalidOptionError);
  });
});
