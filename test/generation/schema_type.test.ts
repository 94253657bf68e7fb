/** Types of values, checked by the compiler; what runs is that they are what comes out. */
import { z } from "zod";
import { Model, type ValueOf } from "../../lib";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Does not compile unless both types are the same. */
function same<A, B>(..._proof: Same<A, B> extends true ? [] : [never]): void {
  expect(true).toBe(true);
}

test("a schema that is a constant has the type of its values", () => {
  const _schema = {
    type: "object",
    properties: {
      name: { type: "string" },
      kind: { enum: ["a", 1, null] },
      tags: { type: "array", items: { type: "integer" } },
      pair: { type: "array", prefixItems: [{ type: "string" }, { const: true }] },
      maybe: { type: ["number", "null"] },
      inner: {
        anyOf: [{ type: "boolean" }, { type: "object", properties: { x: { type: "number" } }, required: ["x"] }],
      },
      map: { type: "object", additionalProperties: { type: "string" } },
      other: { $ref: "#/$defs/other" },
    },
    required: ["name", "kind", "pair"],
    $defs: { other: { type: "null" } },
  } as const;
  interface Expected {
    name: string;
    kind: "a" | 1 | null;
    pair: [string, true];
    tags?: number[];
    maybe?: number | null;
    inner?: boolean | { x: number };
    map?: Record<string, string>;
    other?: unknown;
  }
  same<ValueOf<typeof _schema>, { [K in keyof Expected]: Expected[K] }>();
  same<ValueOf<Record<string, unknown>>, unknown>();
  same<ValueOf<{ type: string }>, unknown>();
  const _animal = z.object({ age: z.int(), name: z.string().optional() });
  same<ValueOf<typeof _animal>, { age: number; name?: string | undefined }>();
});

test("chat.ask gives a value of that type, too", async () => {
  await using model = await Model.load();
  using chat = model.chat({ template: "story", seed: 1, maxTokens: 40 });
  const { value } = await chat.ask("x", {
    schema: { type: "object", properties: { n: { type: "integer", minimum: 1, maximum: 9 } }, required: ["n"] },
  });
  same<typeof value, { n: number }>();
  expect(value.n).toBeGreaterThanOrEqual(1);
  const animal = await chat.ask("y", { schema: z.object({ legs: z.int().min(0).max(8) }) });
  same<typeof animal.value, { legs: number }>();
  expect(animal.value.legs).toBeLessThanOrEqual(8);
  const _plain = await chat.ask("z", { maxTokens: 3 });
  same<"value" extends keyof typeof _plain ? true : false, false>();
});

test("model.generate gives a value of that type, without `as const`", async () => {
  await using model = await Model.load();
  const { value } = await model.generate("x", {
    schema: {
      type: "object",
      properties: { n: { type: "integer", minimum: 1, maximum: 9 }, b: { enum: ["yes", "no"] } },
      required: ["n", "b"],
    },
    seed: 1,
  });
  same<typeof value, { n: number; b: "yes" | "no" }>();
  expect(value.n).toBeGreaterThanOrEqual(1);
  expect(["yes", "no"]).toContain(value.b);
  const loose: Record<string, unknown> = { type: "boolean" };
  const { value: unknownValue } = await model.generate("x", { schema: loose, seed: 1 });
  same<typeof unknownValue, unknown>();
  expect(typeof unknownValue).toBe("boolean");
});
