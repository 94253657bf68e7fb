import { collectText } from "./stream";
import { parseValue, resolveSchema, type SchemaLike, type TextFormat } from "./structured";
import type { Chunk, GenerationResult } from "./types";

/**
 * Waits for the text that `stream` makes with the options, and where these have a schema, adds its value.
 * @param what the function that was called, for messages
 * @throws InvalidOptionError for what is no schema, IncompleteTextError, what a zod schema's checks throw, and what reading does
 */
export async function collectResult<Options extends object>(
  what: string,
  options: (Options & { schema?: SchemaLike }) | undefined,
  stream: (options: (Omit<Options, "schema"> & { format?: TextFormat }) | undefined) => AsyncIterable<Chunk>,
): Promise<GenerationResult & { value?: unknown }> {
  if (options?.schema === undefined) return collectText(stream(options));
  const { schema, ...rest } = options;
  const format: TextFormat = { type: "json_schema", schema: await resolveSchema(what, schema) };
  const result = await collectText(stream({ ...rest, format }));
  return { ...result, value: parseValue(what, schema, result) };
}
