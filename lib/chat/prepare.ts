import type { Engine } from "../engine";
import { InvalidOptionError } from "../errors";
import { mostPromptTokens, type Chunk, type PreparedPrompt } from "../generation";
import type { ResolvedAnswerOptions } from "./chat_options";
import type { ChatTemplate, Message } from "./template";
import type { TextCheck } from "./template_encode";
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

/** What an answer starts from, and how many messages were left out of it, behind the system's. */
export interface PreparedAnswer extends PreparedPrompt {
  forgotten: number;
}

/**
 * What an answer starts from. With `overflow: "slide"`, a conversation that leaves too little room for it loses its
 * oldest turns, whole ones and as many as make it fill half of the context.
 * @param forgotten messages that were left out before, behind the system's
 * @throws InvalidOptionError for a conversation without a token
 */
export async function prepareAnswer(
  what: string,
  engine: Engine,
  plan: ToolPlan,
  messages: readonly Message[],
  { generation }: ResolvedAnswerOptions,
  forgotten = 0,
): Promise<PreparedAnswer> {
  const { info } = engine;
  const options = plan.hold(generation);
  const reader = plan.reader();
  const transform = reader ? { transform: (chunk: Chunk) => reader.read(chunk) } : {};
  let left = forgotten;
  const most = mostPromptTokens(engine, generation.overflow);
  const check: TextCheck = (text, how) => engine.checkFits(`${what}: the prompt`, text, most, how);
  let tokens = await plan.encode(without(messages, left), check);
  if (tokens.length === 0) throw new InvalidOptionError(`${what}: the conversation has no tokens; write something.`);
  if (generation.overflow !== "slide") return { tokens, options, forgotten, ...transform };
  const before = tokens.length;
  // What an answer needs at least, or all that it may take.
  const reserve = Math.min(generation.maxTokens, Math.floor(info.contextLength / 4));
  if (before > info.contextLength - reserve) {
    for (let next = nextTurn(messages, left); next !== undefined; next = nextTurn(messages, left)) {
      left = next;
      tokens = await plan.encode(without(messages, left));
      if (tokens.length <= info.contextLength / 2) break;
    }
  }
  const system = messages[0]?.role === "system" ? await plan.systemLength(messages[0]) : 0;
  return {
    ...{ tokens, forgotten: left, droppedTokens: before - tokens.length, ...transform },
    options: { ...options, keepTokens: options.keepTokens ?? Math.max(system, 4) },
  };
}

/** The conversation without so many messages behind the system's. */
function without(messages: readonly Message[], count: number): Message[] {
  const first = messages[0]?.role === "system" ? 1 : 0;
  return [...messages.slice(0, first), ...messages.slice(first + count)];
}

/** How many messages to leave out so that the conversation begins one turn later; undefined at the last turn. */
function nextTurn(messages: readonly Message[], left: number): number | undefined {
  const first = messages[0]?.role === "system" ? 1 : 0;
  const turn = messages.findIndex(({ role }, i) => role === "user" && i > first + left);
  return turn < 0 ? undefined : turn - first;
}
