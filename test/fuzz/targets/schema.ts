import * as fc from "fast-check";
import { Automaton, type State } from "../../../lib/generation/structured/automaton";
import { compileJsonSchema } from "../../../lib/generation/structured/json_schema";
import { anyJson, damagedJson, refusable, type Target } from "../target";

const { schema } = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom<unknown>(
      true,
      {},
      { type: "string" },
      { type: "integer" },
      { type: "boolean" },
      { $ref: "#" },
      { $ref: "#/$defs/a" },
    ),
    fc.record(
      { type: fc.constant("integer"), minimum: fc.integer(), maximum: fc.integer() },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constant("string"),
        minLength: fc.nat(20),
        maxLength: fc.nat(20),
        pattern: fc.constantFrom("a+", "\\d{2}", "("),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({ enum: fc.array(anyJson, { maxLength: 3 }) }),
    fc.record({ const: anyJson }),
    fc.record({ anyOf: fc.array(tie("schema"), { maxLength: 3 }) }),
    fc.record(
      { type: fc.constant("array"), items: tie("schema"), minItems: fc.nat(4), maxItems: fc.nat(6) },
      { requiredKeys: ["type"] },
    ),
    fc
      .record(
        {
          type: fc.constant("object"),
          properties: fc.dictionary(fc.string({ maxLength: 4 }), tie("schema"), { maxKeys: 4 }),
          $defs: fc.record({ a: tie("schema") }),
          additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
        },
        { requiredKeys: ["type"] },
      )
      .chain((object) =>
        fc.subarray(Object.keys(object.properties ?? {})).map((required) => ({ ...object, required })),
      ),
  ),
}));

interface Input {
  schema: unknown;
  choices: number[];
}

/** JSON schemas: what a text held to one becomes is JSON, by a walk through the language. */
export const schemaTarget: Target<Input> = {
  name: "schema",
  covers: ["lib/generation/structured/"],
  weight: 1,
  inputs: fc.record({
    schema: fc.oneof(schema, damagedJson(schema), anyJson),
    choices: fc.array(fc.nat(255), { maxLength: 200 }),
  }),
  async check(input) {
    const automaton = await refusable(() => new Automaton(compileJsonSchema(input.schema)));
    if (!automaton) return;
    let state: State = automaton.start;
    const text: number[] = [];
    for (const choice of input.choices) {
      if (state.final) break;
      const next = await refusable(() => walk(automaton, state, choice));
      // Too many states is a refusal while a text is written.
      if (!next) return;
      if (next === "stuck")
        throw new Error(
          `Nothing may follow ${JSON.stringify(Buffer.from(text).toString("latin1"))}, and it is not complete`,
        );
      text.push(next.byte);
      state = next.state;
    }
    if (state.accepting) JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text)));
  },
};

function walk(automaton: Automaton, state: State, choice: number): { byte: number; state: State } | "stuck" {
  for (let i = 0; i < 256; i++) {
    const byte = (choice + i) % 256;
    const next = automaton.step(state, byte);
    if (next) return { byte, state: next };
  }
  return "stuck";
}
