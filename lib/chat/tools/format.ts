import { InvalidOptionError, UnsupportedModelError } from "../../errors";
import { expressions, type Expression, type Trigger } from "../../generation";
import { suggestion } from "../../validate";
import type { ChatTemplate } from "../template";

const { literal, repeat, sequence } = expressions;

/** How a family of models writes function calls. */
export interface ToolFormat {
  /** For the option `toolFormat`. */
  readonly name: string;
  /** Whether a template that knows functions is of this family. */
  recognises(source: string): boolean;
  /** What begins a call; as the model writes it. */
  readonly triggers: readonly Trigger[];
  /** Texts of the format that are control tokens in some vocabularies. */
  readonly controls: readonly string[];
  /** The name of the member that has a call's arguments. */
  readonly argumentsKey: string;
  /** What stands around the calls, and whether there may be several. */
  wrap(call: Expression): { one: Expression; several: Expression };
}

/** Calls of one answer: more are no sensible answer, but a model that goes round in circles. */
const MOST_CALLS = 32;

/** JSON objects between tags: Hermes, Qwen 2.5 and 3 and their kin. */
const hermes: ToolFormat = {
  name: "hermes",
  recognises: (source) => source.includes("<tool_call>") && !source.includes("<function="),
  triggers: [{ text: "<tool_call>", atStart: false }],
  controls: ["<tool_call>", "</tool_call>"],
  argumentsKey: "arguments",
  wrap(call) {
    const line = repeat(literal("\n"), 0, 1);
    const one = sequence(literal("<tool_call>"), line, call, line, literal("</tool_call>"));
    return { one, several: sequence(one, repeat(sequence(line, one), 0, MOST_CALLS - 1)) };
  },
};

/** One JSON object that is the whole answer: Llama 3.1 and later. */
const llama3: ToolFormat = {
  name: "llama3",
  recognises: (source) => /<\|python_tag\|>|"parameters": ?dictionary|"parameters": ?\{?dict/.test(source),
  triggers: [
    { text: '{"name"', atStart: true },
    { text: '{ "name"', atStart: true },
    { text: "<|python_tag|>", atStart: true },
  ],
  controls: ["<|python_tag|>"],
  argumentsKey: "parameters",
  wrap(call) {
    const one = sequence(repeat(literal("<|python_tag|>"), 0, 1), call);
    return { one, several: one };
  },
};

const formats: readonly ToolFormat[] = [hermes, llama3];

/** Names for the option `toolFormat`. */
export const toolFormatNames: readonly string[] = formats.map(({ name }) => name);

/**
 * The format of a template's family. Templates that know no functions are given the text about them in a system
 * message, with Hermes' tags.
 * @param name of the format, where the user says it
 * @throws InvalidOptionError for an unknown name, UnsupportedModelError for a template that knows functions in a way
 * that is not known here
 */
export function chooseToolFormat({ source, knowsTools }: ChatTemplate, name: string | undefined): ToolFormat {
  if (name !== undefined) {
    const format = formats.find((each) => each.name === name);
    if (format) return format;
    throw new InvalidOptionError(`Unknown tool format "${name}".${suggestion(name, toolFormatNames)}`);
  }
  const format = knowsTools ? formats.find((each) => each.recognises(source)) : hermes;
  if (format) return format;
  throw new UnsupportedModelError(
    "The model's chat template writes function calls in a form that is not known. Name the form with the option " +
      `"toolFormat" (${toolFormatNames.join(", ")}), or choose another template.`,
  );
}
