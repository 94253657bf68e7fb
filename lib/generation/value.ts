import { collectText } from "./stream";
import { parseValue, resolveSchema, type SchemaLike, type TextFormat } from "./structured";
import type { Chunk, GenerationResult } from "./types";

/**
 * Waits for the text that `stream` makes in the form of a schema, and adds its value.
 * @param what the function that was called, for messages
 * @throws InvalidOptionError for what is no schema, IncompleteTextError, what a zod schema's checks throw, and what reading does
 */
export async function collectValue(
  what: string,
  schema: SchemaLike,
  stream: (format: TextFormat) => AsyncIterable<Chunk>,
): Promise<GenerationResult & { value: unknown }> {
  const result = await collectText(stream({ type: "json_schema", schema: await resolveSchema(what, schema) }));
  return { ...result, value: parseValue(what, schema, result) };
}
