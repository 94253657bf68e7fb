import { InvalidOptionError } from "../../errors";
import { checkOptions, choice, describe, text } from "../../validate";

/**
 * The form that a text is held to: any JSON object, JSON that is valid for a schema, what a regular expression matches as
 * a whole, or the rule `root` of a grammar in llama.cpp's notation (GBNF).
 */
export type TextFormat =
  | { type: "json_object" }
  | { type: "json_schema"; schema: Readonly<Record<string, unknown>> | boolean }
  | { type: "regex"; pattern: string }
  | { type: "grammar"; grammar: string };

const checks = {
  type: choice(["json_object", "json_schema", "regex", "grammar"] as const),
  schema: (name: string, value: unknown): Record<string, unknown> | boolean => {
    if (typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value))) {
      return value as Record<string, unknown> | boolean;
    }
    throw new InvalidOptionError(`${name} must be a JSON schema, not ${describe(value)}.`);
  },
  pattern: text({ allowEmpty: true }),
  grammar: text(),
};

/** Checks the option "format". */
export function checkFormat(name: string, value: unknown): TextFormat {
  const { type, schema, pattern, grammar } = checkOptions(name, value ?? null, checks);
  if (type === "json_object") return { type };
  if (type === "json_schema" && schema !== undefined) return { type, schema };
  if (type === "regex" && pattern !== undefined) return { type, pattern };
  if (type === "grammar" && grammar !== undefined) return { type, grammar };
  throw new InvalidOptionError(
    `${name} must be { type: "json_object" }, { type: "json_schema", schema }, { type: "regex", pattern } or ` +
      `{ type: "grammar", grammar }, not ${describe(value)}.`,
  );
}
