import type { Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import type { PreparedPrompt } from "../generation";
import type { ResolvedAnswerOptions } from "./chat_options";
import type { ChatTemplate, Message } from "./template";
import { defineTools, ToolPlan } from "./tools";

/** How functions are offered with these options. @throws InvalidOptionError, UnsupportedModelError (`ToolPlan.make`) */
export async function planTools(
  what: string,
  { tokenizer }: Engine,
  template: ChatTemplate,
  { tools, toolChoice, parallelToolCalls, toolFormat }: ResolvedAnswerOptions,
): Promise<ToolPlan> {
  return ToolPlan.make(what, template, tokenizer, {
    tools: await defineTools(what, tools),
    choice: toolChoice,
    parallel: parallelToolCalls,
    ...(toolFormat === undefined ? {} : { format: toolFormat }),
  });
}

/** What an answer starts from. @throws InvalidOptionError for a conversation without a token */
export async function prepareAnswer(
  what: string,
  plan: ToolPlan,
  messages: readonly Message[],
  { generation }: ResolvedAnswerOptions,
): Promise<PreparedPrompt> {
  const tokens = await plan.encode(messages);
  if (tokens.length === 0) throw new InvalidOptionError(`${what}: the conversation has no tokens; write something.`);
  const reader = plan.reader();
  return { tokens, options: plan.hold(generation), ...(reader ? { transform: (chunk) => reader.read(chunk) } : {}) };
}
