import { colon, comma, compileJsonSchema, expressions, type Expression, type Form } from "../../generation";
import type { Tokenizer } from "../../tokenizer";
import type { ToolDefinition } from "./definition";
import type { ToolFormat } from "./format";

const { choice, literal, sequence } = expressions;

/**
 * The language of calls of these functions, with arguments that are valid for their schemas.
 * @param several whether more than one call may come
 */
export function callsForm(
  format: ToolFormat,
  tools: readonly ToolDefinition[],
  several: boolean,
  tokenizer: Pick<Tokenizer, "idOf" | "isSpecial">,
): Form {
  return {
    key: JSON.stringify([
      "calls",
      format.name,
      several,
      tools.map((each) => [each.name, each.parameters, each.strict]),
    ]),
    compile: () => {
      const wrapped = format.wrap(choice(...tools.map((each) => callOf(format, each))));
      return several ? wrapped.several : wrapped.one;
    },
    controls: controlsOf(format, tokenizer),
  };
}

/** Either of two languages. */
export function eitherForm(first: Form, second: Form): Form {
  return {
    key: JSON.stringify(["either", first.key, second.key]),
    compile: () => choice(first.compile(), second.compile()),
    controls: new Map([...(first.controls ?? []), ...(second.controls ?? [])]),
  };
}

function callOf({ argumentsKey }: ToolFormat, { name, parameters, strict = false }: ToolDefinition): Expression {
  const schema = parameters ?? { type: "object", properties: {} };
  return sequence(
    literal('{"name"'),
    colon,
    literal(JSON.stringify(name)),
    comma,
    literal(JSON.stringify(argumentsKey)),
    colon,
    compileJsonSchema(schema, { where: `tool "${name}"`, lenient: !strict }),
    literal("}"),
  );
}

function controlsOf({ controls }: ToolFormat, tokenizer: Pick<Tokenizer, "idOf" | "isSpecial">): Map<number, string> {
  const found = new Map<number, string>();
  for (const text of controls) {
    const id = tokenizer.idOf(text);
    if (id !== undefined && tokenizer.isSpecial(id)) found.set(id, text);
  }
  return found;
}
