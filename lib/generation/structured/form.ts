import { InvalidOptionError } from "../../errors";
import { checkDepth } from "./depth";
import { compileJsonSchema, anyJsonObject } from "./json_schema";
import type { Expression } from "./expression";
import type { TextFormat } from "./format";
import { compileGrammar } from "./grammar";
import { compileRegex } from "./regex";

/** A language that a text is held to. It is compiled when it is met first, and kept by its key. */
export interface Form {
  /** Equal keys stand for equal languages. */
  readonly key: string;
  /** @throws InvalidOptionError for what cannot be compiled */
  compile(): Expression;
  /** Control tokens that count as this text here, which the language may contain. Default none. */
  readonly controls?: ReadonlyMap<number, string>;
}

/** A form that holds from the moment on in which the text says so, its trigger included. */
export interface LateForm {
  readonly form: Form;
  readonly triggers: readonly Trigger[];
}

/** A text that says what follows. */
export interface Trigger {
  readonly text: string;
  /** Counts only where nothing but white space stands before it. */
  readonly atStart: boolean;
}

/**
 * The form of a format that users ask for.
 * @throws InvalidOptionError for a schema that is no JSON, or too deep
 */
export function formOf(given: TextFormat): Form {
  const key = keyOf(given);
  return {
    key,
    compile: () => {
      // A copy: the schema may have changed when its turn comes.
      const format = JSON.parse(key) as TextFormat;
      switch (format.type) {
        case "json_object":
          return anyJsonObject;
        case "json_schema":
          return compileJsonSchema(format.schema);
        case "regex":
          return compileRegex(format.pattern);
        case "grammar":
          return compileGrammar(format.grammar);
      }
    },
  };
}

function keyOf(format: TextFormat): string {
  checkDepth("The format", format);
  try {
    return JSON.stringify(format);
  } catch (error) {
    throw new InvalidOptionError("The schema is no JSON: it has values that are none.", { cause: error });
  }
}
