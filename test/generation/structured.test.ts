import { z } from "zod";
import { InvalidOptionError, Model } from "../../lib";
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

  test.each(["(?=a)", "a{3,1}", "[b-a]", "(a", "a)", "\\bx", "[]", "*", "(a)\\1"])("%s is refused", (source) => {
    expect(() => compileRegex(source)).toThrow(InvalidOptionError);
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

test("a mask allows exactly the tokens that keep the form", () => {
  const texts = ["", "a", "ab", "abc", "b", "bb", "c", "ca", "d"];
  const tokenizer = {
    vocabularySize: texts.length,
    tokenBytes: (id: number) => Buffer.from(texts[id]!),
    isSpecial: (id: number) => id === 8,
  };
  const tree = new Vocabulary(tokenizer, texts.length);
  const automaton = new Automaton(compileRegex("a*b{0,2}c?"));
  for (const before of ["", "a", "ab", "abb", "c"]) {
    const state = automaton.run(automaton.start, Buffer.from(before))!;
    const { words, count } = tree.maskOf(automaton, new PlainSteps(automaton), state, [8]);
    const allowed = texts.flatMap((_, id) => ((words[0]! >>> id) & 1 ? [id] : []));
    const expected = texts.flatMap((text, id) => {
      if (id === 8) return [8];
      return text !== "" && /^a*b{0,2}c?$/.test(before + text) ? [id] : [];
    });
    expect([before, allowed, count]).toEqual([before, expected, expected.length]);
  }
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

  test("holds a stream to any JSON object", async () => {
    let text = "";
    for await (const chunk of model.stream("{", { format: { type: "json_object" }, seed: 3, maxTokens: 150 }))
      text += chunk.text;
    expect(text).toMatch(/^\{/);
  });
});
