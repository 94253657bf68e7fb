import { InvalidOptionError } from "../../errors";
import { parseWith, resolveSchema, type SchemaLike, type ValueOf } from "../../generation";
import { boolean, callback, checkOptions, describe, text } from "../../validate";

/** What a function that the model called is told besides its arguments. */
export interface ToolCallContext {
  /** The call. */
  id: string;
  /** The function that was called. */
  name: string;
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** A function that the model may call. Make one with `tool`, which checks the type of its arguments. */
export interface Tool {
  /** Tells the model what the function does and when to call it. */
  description?: string;
  /** Its arguments, an object: a JSON schema, or one of zod 4. Default: it takes none. */
  parameters?: SchemaLike;
  /**
   * Refuses a schema with keywords that cannot be held to. Default false: these are taken as not written, so arguments
   * may break them.
   */
  strict?: boolean;
  /**
   * Does it. What it returns is told to the model: a string as it is, anything else as JSON. Without it, calls are
   * handed to whoever reads the answer.
   */
  execute?: (input: never, call: ToolCallContext) => unknown;
}

/** What `execute` is given: known for zod; for a plain JSON schema the function's own declaration says it. */
export type ToolInput<S> = unknown extends ValueOf<S> ? never : ValueOf<S>;

/** Functions by their names. */
export type Tools = Readonly<Record<string, Tool>>;

/** Which functions the model shall call: its choice, none, at least one, or the one named. */
export type ToolChoice = "auto" | "none" | "required" | { name: string };

/** A function as the model is told of it. */
export interface ToolDefinition {
  /** What the model calls it. */
  name: string;
  /** What it does and when to call it. */
  description?: string;
  /** JSON schema of the arguments; absent: it takes none. */
  parameters?: Readonly<Record<string, unknown>>;
  /** Arguments must be valid for the schema: what cannot be held to is refused. Default false. */
  strict?: boolean;
}

/** Declares a function that the model may call; the type of its arguments comes from a zod schema. */
export function tool<S extends SchemaLike>(
  definition: Omit<Tool, "parameters" | "execute"> & {
    parameters?: S;
    execute?: (input: ToolInput<S>, call: ToolCallContext) => unknown;
  },
): Tool {
  return definition;
}

const toolChecks = {
  description: text({ allowEmpty: true }),
  parameters: (name: string, value: unknown): SchemaLike => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as SchemaLike;
    throw new InvalidOptionError(`${name} must be a JSON schema or one of zod, not ${describe(value)}.`);
  },
  strict: boolean(),
  execute: callback<(input: never, call: ToolCallContext) => unknown>(),
};

/** As with OpenAI. */
const NAMES = /^[\w.-]{1,64}$/;

/** Checks the option "tools". */
export function checkTools(name: string, value: unknown): Tools {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidOptionError(`${name} must be an object of tools by their names, not ${describe(value)}.`);
  }
  const tools = Object.entries(value).map(([key, each]: [string, unknown]) => {
    if (!NAMES.test(key)) {
      throw new InvalidOptionError(
        `${name}: a name must be 1 to 64 letters, digits, "_", "-" and ".", not ${describe(key)}.`,
      );
    }
    return [key, checkOptions(`${name}.${key}`, each ?? null, toolChecks)];
  });
  return Object.fromEntries(tools) as Tools;
}

/** Checks the option "toolChoice". */
export function checkToolChoice(name: string, value: unknown): ToolChoice {
  if (value === "auto" || value === "none" || value === "required") return value;
  if (typeof value === "object" && value !== null && typeof (value as { name?: unknown }).name === "string") {
    return { name: (value as { name: string }).name };
  }
  throw new InvalidOptionError(`${name} must be "auto", "none", "required" or { name }, not ${describe(value)}.`);
}

/** Tools as the model is told of them. @throws InvalidOptionError for a schema that is none */
export async function defineTools(what: string, tools: Tools): Promise<ToolDefinition[]> {
  return Promise.all(
    Object.entries(tools).map(async ([name, { description, parameters, strict }]) => ({
      name,
      ...(description === undefined ? {} : { description }),
      ...(parameters === undefined ? {} : { parameters: await resolveSchema(`${what}: tool "${name}"`, parameters) }),
      ...(strict === undefined ? {} : { strict }),
    })),
  );
}

/** The arguments of a call as its tool expects them. @throws what a zod schema's checks throw */
export function parseArguments({ parameters }: Tool, json: string): unknown {
  const value: unknown = JSON.parse(json);
  return parameters === undefined ? value : parseWith(parameters, value);
}
