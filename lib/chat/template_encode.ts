import { InvalidOptionError } from "../errors";
import type { Tokenizer } from "../tokenizer";
import type { ChatTemplate, Message, RenderOptions } from "./template";

/** Unicode's noncharacters U+FDD0 to U+FDEF: for internal use by definition, and not white space to any template. */
const GUARDS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/**
 * The ids of a conversation. Control tokens come from the template alone: "<|eot_id|>" inside a message stays text, so
 * that nobody can end their turn and speak as someone else. A beginning-of-sequence token that the template writes is
 * not added a second time.
 */
export async function encodeChat(
  template: ChatTemplate,
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions = {},
): Promise<Int32Array> {
  // A first rendering checks the messages, whose content is then known to be text.
  const plain = template.render(messages, options);
  const guard = GUARDS.find(
    (candidate) => !plain.includes(candidate) && !messages.some((m) => m.content.includes(candidate)),
  );
  if (guard === undefined) {
    throw new InvalidOptionError("The messages contain all of U+FDD0 to U+FDEF, which are no characters; remove some.");
  }
  const guarded = messages.map((message) => ({ ...message, content: tokenizer.guardSpecial(message.content, guard) }));
  // Without anything to guard, which is the rule, the first rendering is the text.
  const changed = guarded.some((message, i) => message.content !== messages[i]?.content);
  const text = changed ? template.render(guarded, options) : plain;
  return tokenizer.encode(text, { parseSpecial: true, guard });
}
