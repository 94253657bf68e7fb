import type { Engine } from "../engine";
import { streamOnce, type TextStream } from "../generation";
import { checkObjects, checkOptions, text } from "../validate";
import { answerChecks, resolveAnswerOptions, type AnswerOptions } from "./chat_options";
import { chooseTemplate } from "./choose_template";
import { planTools, prepareAnswer } from "./prepare";
import type { Message } from "./template";

/** How `model.reply` answers. */
export interface ReplyOptions extends AnswerOptions {
  /** Name of a built-in template, or Jinja source. Default: the model's own. */
  template?: string;
}

const replyChecks = { ...answerChecks, template: text() };

/**
 * Streams what the assistant says next in a conversation that the caller keeps. Functions are not called: their calls
 * come in the chunks.
 * @throws InvalidOptionError, ClosedError, ModelFormatError for an unusable template
 */
export function streamReply(engine: Engine, messages: readonly Message[], options?: ReplyOptions): TextStream {
  const what = "model.reply";
  engine.checkOpen();
  checkObjects(`${what}: the messages`, "{ role, content }", messages);
  const { template: source, ...checked } = checkOptions(what, options, replyChecks);
  const template = chooseTemplate(engine, source);
  const answer = resolveAnswerOptions(what, checked, template, engine.tokenizer);
  return streamOnce({
    engine,
    what,
    options: answer.generation,
    prompt: async () => prepareAnswer(what, engine, await planTools(what, engine, template, answer), messages, answer),
  });
}
