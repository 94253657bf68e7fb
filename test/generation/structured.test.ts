import { z } from "zod";
import { IncompleteTextError, InvalidOptionError, Model } from "../../lib";
import { Automaton } from "../../lib/generation/structured/automaton";
import { compileJsonSchema } from "../../lib/generation/structured/json_schema";
import { compileRegex } from "../../lib/generation/structured/regex";
import { PlainSteps } from "../../lib/generation/structured/plain_text";
import { Vocabulary } from "../../lib/generation/structured/vocabulary";
import { Random } from "../../lib/sampling";
import { runSchemas } from "../helpers/schema_runs";

jest.setTimeout(120_000);

function accepts(automaton: Automaton, text: string): boolean {
  return automaton.run(automaton.start, Buffer.from(text))?.accepting ?? false;
}

describe("regular expressions", () => {
  test.each([
    "a",
    "(ab|c)*d?",
    "[a-c]{2,3}b+",
    "x(a|b){0,2}[^a]",
    "\\d+(\\.\\d{1,2})?",
    "^(a|aa)+$",
    "a.?c|",
    "[\\]\\-a]b?",
  ])("%s matches what JavaScript's does", (source) => {
    const automaton = new Automaton(compileRegex(source));
    const reference = new RegExp(`^(?:${source})$`, "u");
    const random = new Random(1);
    const letters = "abcdx19.]-é";
    let matched = 0;
    for (let i = 0; i < 3000; i++) {
      const length = random.nextUint32() % 7;
      const text = Array.from({ length }, () => letters[random.nextUint32() % letters.length]!).join("");
      expect([text, accepts(automaton, text)]).toEqual([text, reference.test(text)]);
      if (reference.test(text)) matched++;
    }
    expect(matched).toBeGreaterThan(0);
  });

  test.each([
    ...["(?=a)", "a{3,1}", "[b-a]", "(a", "a)", "\\bx", "[]", "*", "(a)\\1"],
    // JavaScript knows them, and finds them in no text or in few.
    ...["a(^b)", "(a$)b", "(^a)*b", "a^", "(a$)+"],
  ])("%s is refused", (source) => {
    expect(() => compileRegex(source)).toThrow(InvalidOptionError);
  });
});

describe("forms that take too much work", () => {
  test("are refused in bounded time", () => {
    const alternatives = (i: number): object => ({
      anyOf: [{ minLength: i }, { maxLength: i + 20 }, { pattern: `^a${i}` }],
    });
    const many = { type: "string", allOf: Array.from({ length: 8 }, (_, i) => alternatives(i)) };
    expect(() => compileJsonSchema(many)).toThrow(/too many states/);
  });

  test("long lists of values are none of them", () => {
    const values = Array.from({ length: 8000 }, (_, i) => `value ${i}`);
    const listed = new Automaton(compileJsonSchema({ enum: values }));
    expect([accepts(listed, '"value 7999"'), accepts(listed, '"value 8000"')]).toEqual([true, false]);
    const apart = new Automaton(compileJsonSchema({ oneOf: values.slice(0, 500).map((value) => ({ const: value })) }));
    expect(accepts(apart, '"value 17"')).toBe(true);
    expect(() => compileJsonSchema({ oneOf: [{ const: 1 }, { enum: [2, 1] }] })).toThrow(/oneOf/);
  });
});

describe("JSON schemas", () => {
  const valid: [unknown, string[], string[]][] = [
    [
      { type: "integer", minimum: -12, maximum: 1345 },
      ["-12", "0", "7", "99", "1000", "1345"],
      ["-13", "1346", "01", "-0", "1."],
    ],
    [{ enum: ["a", 1, null, { b: [2] }] }, ['"a"', "1", "null", '{"b":[2]}'], ["2", "a", '"a']],
    [{ type: "string", maxLength: 2 }, ['""', '"é\\n"', '"👩"'], ['"abc"', '"\n"', '"\\x"']],
    [
      { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 2 },
      ["[true]", "[true, false]"],
      ["[]", "[true,true,true]", "[true,]"],
    ],
    [
      { type: "object", properties: { a: { const: 1 }, b: { const: 2 } }, required: ["b"] },
      ['{"a":1,"b": 2}', '{"b":2}'],
      ['{"a":1}', "{}", '{"b":2,"c":3}', '{,"b":2}'],
    ],
    [
      { type: "object", properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } } },
      ["{}", '{"a":1,"c":3}', '{"c":3}'],
      ['{"c":3,"a":1}', '{"a":1,}'],
    ],
    [{ type: ["number", "null"] }, ["-0.5e-3", "12", "null"], ["+1", ".5", "1.", "nul"]],
    [{ type: "string", pattern: '^[a-z]"?$' }, ['"b\\""', '"z"'], ['"b""', '"B"']],
    [
      { $ref: "#/$defs/t", $defs: { t: { type: "object", properties: { next: { $ref: "#/$defs/t" } } } } },
      ["{}", '{"next":{"next":{}}}'],
      ['{"next":1}'],
    ],
    [true, ['{"a":[1,{"b":null}]}', "[[],{}]", '"x"'], ["[1 ,2]", "{a:1}"]],
  ];
  test.each(valid)("%j", (schema, yes, no) => {
    const automaton = new Automaton(compileJsonSchema(schema));
    for (const text of yes) expect([text, accepts(automaton, text)]).toEqual([text, true]);
    for (const text of no) expect([text, accepts(automaton, text)]).toEqual([text, false]);
  });

  test("every integer between bounds, and no other", () => {
    const random = new Random(2);
    for (let round = 0; round < 60; round++) {
      const low = (random.nextUint32() % 300) - 150;
      const high = low + (random.nextUint32() % 250);
      const automaton = new Automaton(compileJsonSchema({ type: "integer", minimum: low, maximum: high }));
      for (let value = low - 15; value <= high + 15; value++) {
        expect([low, high, value, accepts(automaton, String(value))]).toEqual([
          low,
          high,
          value,
          value >= low && value <= high,
        ]);
      }
    }
  });

  test.each([
    { type: "object", dependentRequired: {} },
    { type: "strin" },
    { $ref: "#/no" },
    { type: "number", minimum: 1, maximum: 0 },
    5,
    { type: "object", properties: {}, required: ["a"] },
  ])("%j is refused, saying where", (schema) => {
    expect(() => compileJsonSchema(schema)).toThrow(/The JSON schema at/);
  });
});

describe("schemas that contain themselves", () => {
  const a = { type: "object", properties: { b: { type: "integer" }, a: { $ref: "#/$defs/a" } }, required: ["b"] };

  test.each<[string, object]>([
    ["a reference to itself", { $ref: "#" }],
    ["a required property of its own kind", { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }],
    ["two that need each other", { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }],
    ["items without an end", { type: "array", items: { $ref: "#" }, minItems: 1 }],
  ])("%s: no text has the form, and that is said before one is begun", (_name, schema) => {
    expect(() => new Automaton(compileJsonSchema(schema))).toThrow(InvalidOptionError);
    expect(() => new Automaton(compileJsonSchema(schema))).toThrow(/No text has this form/);
  });

  test("what leads nowhere is not begun", () => {
    const endless = { type: "array", items: { $ref: "#/$defs/e" }, minItems: 1 };
    const automaton = new Automaton(
      compileJsonSchema({ $defs: { e: endless }, anyOf: [{ $ref: "#/$defs/e" }, { const: 1 }] }),
    );
    expect(automaton.run(automaton.start, Buffer.from("["))).toBeUndefined();
    expect(automaton.run(automaton.start, Buffer.from("1"))?.accepting).toBe(true);
  });

  test("what may end is taken", () => {
    const automaton = new Automaton(compileJsonSchema({ $defs: { a }, $ref: "#/$defs/a" }));
    expect(automaton.run(automaton.start, Buffer.from('{"b":1,"a":{"b":2}}'))?.accepting).toBe(true);
  });
});

/** Texts as a vocabulary; the tokens of `special` are control tokens. */
const vocabularyOf = (texts: readonly Uint8Array[], special: readonly number[] = []): Promise<Vocabulary> =>
  Vocabulary.read(
    {
      vocabularySize: texts.length,
      tokenBytes: (id: number) => texts[id]!,
      isSpecial: (id: number) => special.includes(id),
    },
    texts.length,
  );

test("a mask allows exactly the tokens that keep the form", async () => {
  const texts = ["", "a", "ab", "abc", "b", "bb", "c", "ca", "d"];
  const vocabulary = await vocabularyOf(
    texts.map((text) => Buffer.from(text)),
    [8],
  );
  const automaton = new Automaton(compileRegex("a*b{0,2}c?"));
  for (const before of ["", "a", "ab", "abb", "c"]) {
    const state = automaton.run(automaton.start, Buffer.from(before))!;
    const { words, count } = vocabulary.maskOf(automaton, new PlainSteps(automaton), state, [8]);
    const allowed = texts.flatMap((_, id) => ((words[0]! >>> id) & 1 ? [id] : []));
    const expected = texts.flatMap((text, id) => {
      if (id === 8) return [8];
      return text !== "" && /^a*b{0,2}c?$/.test(before + text) ? [id] : [];
    });
    expect([before, allowed, count]).toEqual([before, expected, expected.length]);
  }
});

test("masks of a large vocabulary are what a walk of each token through the automaton gives", async () => {
  const random = new Random(7);
  const letters = ['"', "\\", "a", "b", "{", "}", ":", ",", " ", "1", "é", "한", "👩", "\n", "\x7f"].map((text) =>
    Buffer.from(text),
  );
  // Tokens twice, one the beginning of another, parts of characters, bytes that begin none, and long ones.
  const texts = Array.from({ length: 6000 }, () => {
    const length = random.nextUint32() % 20 === 0 ? 40 : random.nextUint32() % 6;
    const text = Buffer.concat(Array.from({ length }, () => letters[random.nextUint32() % letters.length]!));
    return text.subarray(0, random.nextUint32() % 4 === 0 ? Math.max(text.length - 1, 0) : text.length);
  });
  texts.push(...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)));
  const vocabulary = await vocabularyOf(texts);
  const forms = [
    compileJsonSchema({ type: "object", properties: { a: { type: "string", maxLength: 7 }, b: {} } }),
    compileRegex("[^1]{0,9}"),
    compileRegex("(a|b| )*[é한]?"),
  ];
  for (const form of forms) {
    const automaton = new Automaton(form);
    const plain = new PlainSteps(automaton);
    let state = automaton.start;
    for (let step = 0; step < 12; step++) {
      const { words, count } = vocabulary.maskOf(automaton, plain, state, []);
      const expected = texts.flatMap((text, id) => (text.length > 0 && automaton.run(state, text) ? [id] : []));
      const allowed = texts.flatMap((_, id) => ((words[id >>> 5]! >>> (id & 31)) & 1 ? [id] : []));
      expect(allowed).toEqual(expected);
      expect(count).toBe(expected.length);
      if (expected.length === 0) break;
      state = automaton.run(state, texts[expected[random.nextUint32() % expected.length]!]!)!;
    }
  }
});

test("a vocabulary is read between other work", async () => {
  const random = new Random(2);
  const texts = Array.from({ length: 100_000 }, () => {
    const bytes = Array.from({ length: 1 + (random.nextUint32() % 8) }, () => 97 + (random.nextUint32() % 20));
    return Buffer.from(bytes);
  });
  let turns = 0;
  const count = (): void => {
    turns++;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  await vocabularyOf(texts);
  clearImmediate(next);
  expect(turns).toBeGreaterThan(3);
});

describe("model.generate with a schema", () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load();
  });
  afterAll(() => model.close());

  const animal = z.object({
    name: z.enum(["fox", "hen", "wolf"]),
    age: z.int().min(0).max(30),
    tags: z.array(z.string().max(8)).max(3),
    owner: z.object({ happy: z.boolean(), note: z.string().max(12).nullable() }),
  });

  test("gives values that are valid, whatever the seed and the samplers", async () => {
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, seed) =>
        model.generate("The animal: ", {
          schema: animal,
          seed,
          maxTokens: 200,
          ...(seed % 4 === 1 ? { temperature: 2, topK: 0, topP: 1, minP: 0 } : {}),
          ...(seed % 4 === 2 ? { temperature: 0, repetitionPenalty: 1.2 } : {}),
          ...(seed % 4 === 3 ? { logprobs: 1 } : {}),
        }),
      ),
    );
    for (const { value, text, finishReason } of results) {
      expect(animal.parse(JSON.parse(text))).toEqual(value);
      expect(value.age).toBeLessThanOrEqual(30);
      expect(finishReason).toBe("stop");
    }
    expect(new Set(results.map(({ text }) => text)).size).toBeGreaterThan(6);
  });

  test("is valid by ajv for twenty schemas (bench/structured-runs.ts does 1,000 runs)", async () => {
    const { runs, valid, failures } = await runSchemas(model, 40);
    expect(failures).toEqual([]);
    expect(valid).toBe(runs);
  });

  test("draws the tokens of the model's distribution among those that are allowed", async () => {
    // Of a free choice among whole answers, greedy takes what the logits prefer.
    const { text, logprobs = [] } = await model.generate("Once upon a time", {
      format: { type: "regex", pattern: " (there|a|the)" },
      temperature: 0,
      logprobs: 2,
    });
    expect([" there", " a", " the"]).toContain(text);
    expect(logprobs[0]!.token).toBe(logprobs[0]!.top[0]!.token);
  });

  test("says why a value is not complete", async () => {
    const short = model.generate("x", { schema: animal, maxTokens: 3 });
    await expect(short).rejects.toThrow(/not complete for the schema: maxTokens were reached/);
    const wrong = model.generate("x", { schema: { type: "object", not: {} } });
    await expect(wrong).rejects.toThrow(/keyword "not"/);
    await expect(model.generate("x", { format: { type: "xml" } as never })).rejects.toBeInstanceOf(InvalidOptionError);
  });

  test("a number that was cut short is none", async () => {
    // "12" of "123" is JSON, and would pass for a value that the schema forbids.
    const schema = { type: "integer", minimum: 100 };
    for (const options of [{ maxTokens: 1 }, { maxTokens: 50, stop: ["0", "1", "2", "3", "4"] }]) {
      const error = await model
        .generate("Number: ", { schema, seed: 1, ...options })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(IncompleteTextError);
      expect(error).toMatchObject({ finishReason: "stop" in options ? "stop_string" : "length" });
      expect((error as IncompleteTextError).text).toMatch(/^-?\d*$/);
    }
  });

  test("goes by the schema as it was given", async () => {
    const schema: Record<string, unknown> = { enum: ["old"] };
    const text = model.generate("x", { format: { type: "json_schema", schema }, seed: 1 });
    schema.enum = ["new"];
    expect((await text).text).toBe('"old"');
    const endless: Record<string, unknown> = { type: "object" };
    endless.properties = { endless };
    await expect(model.generate("x", { schema: endless })).rejects.toThrow(InvalidOptionError);
    await expect(model.generate("x", { schema: { const: 1n } })).rejects.toThrow(InvalidOptionError);
  });

  test("holds a stream to any JSON object", async () => {
    let text = "";
    for await (const chunk of model.stream("{", { format: { type: "json_object" }, seed: 3, maxTokens: 150 }))
      text += chunk.text;
    expect(text).toMatch(/^\{/);
  });
});
