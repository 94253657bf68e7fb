import { generationChecks, resolveGenerationOptions, type GenerationOptions } from "../generation";
import type { ResolvedGenerationOptions } from "../generation";
import type { Tokenizer } from "../tokenizer";
import { boolean, choice, type CheckedOptions } from "../validate";
import type { ChatTemplate } from "./template";
import { checkToolChoice, checkTools, toolFormatNames, type ToolChoice, type Tools } from "./tools";

/** How an answer in a conversation is generated. All optional. */
export interface AnswerOptions extends GenerationOptions {
  /** Functions that the model may call. Default none. */
  tools?: Tools;
  /**
   * Which of them it shall call: "auto" leaves it to the model, "none" offers none, "required" makes it call at least
   * one, `{ name }` that one. Default "auto".
   */
  toolChoice?: ToolChoice;
  /** Whether one answer may have several calls. Default true. */
  parallelToolCalls?: boolean;
  /** The form in which the model writes calls, "hermes" or "llama3". Default: what its chat template shows. */
  toolFormat?: "hermes" | "llama3";
}

/** Checks of `AnswerOptions`. */
export const answerChecks = {
  ...generationChecks,
  tools: checkTools,
  toolChoice: checkToolChoice,
  parallelToolCalls: boolean(),
  toolFormat: choice(toolFormatNames as readonly ("hermes" | "llama3")[]),
};

/** Options with every default filled in. */
export interface ResolvedAnswerOptions {
  generation: ResolvedGenerationOptions;
  tools: Tools;
  toolChoice: ToolChoice;
  parallelToolCalls: boolean;
  toolFormat: string | undefined;
}

/**
 * Fills in defaults, and what ends a turn in a template.
 * @param checked options that were checked by `answerChecks`
 */
export function resolveAnswerOptions(
  where: string,
  checked: CheckedOptions<typeof answerChecks>,
  template: ChatTemplate,
  tokenizer: Tokenizer,
): ResolvedAnswerOptions {
  const { tools, toolChoice, parallelToolCalls, toolFormat, ...rest } = checked;
  const generation = resolveGenerationOptions(where, rest);
  const { stop, stopTokens } = endsOfTurn(template, tokenizer);
  return {
    generation: {
      ...generation,
      stop: [...generation.stop, ...stop],
      stopTokens: [...generation.stopTokens, ...stopTokens],
    },
    tools: tools ?? {},
    toolChoice: toolChoice ?? "auto",
    parallelToolCalls: parallelToolCalls ?? true,
    toolFormat,
  };
}

/** What ends a turn in a template: control tokens where the vocabulary has them, else their text. */
export function endsOfTurn(template: ChatTemplate, tokenizer: Tokenizer): { stop: string[]; stopTokens: number[] } {
  const stop: string[] = [];
  const stopTokens: number[] = [];
  for (const end of template.stop) {
    const id = tokenizer.idOf(end);
    if (id !== undefined && tokenizer.isSpecial(id)) stopTokens.push(id);
    else stop.push(end);
  }
  return { stop, stopTokens };
}
