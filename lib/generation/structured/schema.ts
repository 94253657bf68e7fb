import { IncompleteTextError, InvalidOptionError } from "../../errors";
import { describe } from "../../validate";
import type { FinishReason, GenerationResult } from "../types";
import { checkDepth } from "./depth";
import type { FromSchema } from "./schema_type";

/** A schema of zod, as far as it is used here. */
interface ZodLike<T> {
  readonly _zod: object;
  parse(value: unknown): T;
}

/** A JSON schema as plain data, or one of zod 4. */
export type SchemaLike<T = unknown> = Readonly<Record<string, unknown>> | ZodLike<T>;

/** The type of the values that a schema describes: zod's own, or what a JSON schema that is written as a constant says. */
export type ValueOf<S> = S extends ZodLike<infer T> ? T : FromSchema<S>;

/**
 * The JSON schema of a schema.
 * @throws InvalidOptionError for what is no schema, and for zod's where zod 4 is not installed
 */
export async function resolveSchema(what: string, schema: SchemaLike): Promise<Record<string, unknown>> {
  if (typeof schema !== "object" || (schema as unknown) === null || Array.isArray(schema)) {
    throw new InvalidOptionError(
      `${what}: option "schema" must be a JSON schema or one of zod, not ${describe(schema)}.`,
    );
  }
  if (!isZod(schema)) {
    checkDepth(`${what}: option "schema"`, schema);
    return schema;
  }
  try {
    const { toJSONSchema } = (await import("zod")) as unknown as {
      toJSONSchema: (schema: unknown, options: object) => object;
    };
    // What is written is parsed by the schema, which fills in defaults and transforms.
    return toJSONSchema(schema, { io: "input" }) as Record<string, unknown>;
  } catch (error) {
    throw new InvalidOptionError(`${what}: option "schema" of zod has no JSON schema; zod 4 must be installed.`, {
      cause: error,
    });
  }
}

const REASONS: Readonly<Partial<Record<FinishReason, string>>> = {
  length: "maxTokens were reached",
  context: "the context is full",
  tool_calls: "functions were called, whose results are wanted first",
};

/**
 * The value of a text that was held to a schema.
 * @throws IncompleteTextError when the text ended before it was complete, saying why; what a zod schema's checks throw
 */
export function parseValue(what: string, schema: SchemaLike, { text, finishReason }: GenerationResult): unknown {
  const incomplete = (cause?: unknown): IncompleteTextError => {
    const reason = REASONS[finishReason] ?? `it ended by "${finishReason}"`;
    const message = `${what}: the text is not complete for the schema: ${reason}.`;
    return new IncompleteTextError(message, text, finishReason, cause === undefined ? {} : { cause });
  };
  // A number that was cut short is JSON all the same, but another number.
  if (finishReason !== "stop") throw incomplete();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw incomplete(error);
  }
  return parseWith(schema, value);
}

/** A value as its schema has it. @throws what a zod schema's checks throw */
export function parseWith(schema: SchemaLike, value: unknown): unknown {
  return isZod(schema) ? schema.parse(value) : value;
}

function isZod(schema: SchemaLike): schema is ZodLike<unknown> {
  return "_zod" in schema && typeof (schema as { parse?: unknown }).parse === "function";
}
