import { InvalidOptionError } from "../errors";
import type { EncodeOptions, Tokenizer } from "../tokenizer";
import type { ChatTemplate, Message, RenderOptions } from "./template";

/** Unicode's noncharacters U+FDD0 to U+FDEF: for internal use by definition, and not white space to any template. */
const GUARDS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** Rejects for a text that must not be encoded. */
export type TextCheck = (text: string, options: EncodeOptions) => Promise<void>;

/**
 * The ids of a conversation. Control tokens come from the template alone: "<|eot_id|>" inside a message, a function's
 * description or its result stays text, so that nobody can end their turn and speak as someone else. A
 * beginning-of-sequence token that the template writes is not added a second time.
 * @param check called with the text before it is encoded; may refuse it
 */
export async function encodeChat(
  template: ChatTemplate,
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions = {},
  check?: TextCheck,
): Promise<Int32Array> {
  // A first rendering checks the messages, whose content is then known to be text.
  const plain = template.render(messages, options);
  const given = JSON.stringify([messages, options.tools]);
  const guard = GUARDS.find((candidate) => !plain.includes(candidate) && !given.includes(candidate));
  if (guard === undefined) {
    throw new InvalidOptionError("The messages contain all of U+FDD0 to U+FDEF, which are no characters; remove some.");
  }
  const guarded = guardStrings(tokenizer, guard, { messages, tools: options.tools });
  // Without anything to guard, which is the rule, the first rendering is the text.
  const changed = JSON.stringify([guarded.messages, guarded.tools]) !== given;
  const text = changed
    ? template.render(guarded.messages, { ...options, ...(guarded.tools ? { tools: guarded.tools } : {}) })
    : plain;
  const how: EncodeOptions = { parseSpecial: true, guard };
  await check?.(text, how);
  return tokenizer.encode(text, how);
}

/** A copy in which no string, at whatever depth, reads like a control token. */
function guardStrings<T>(tokenizer: Tokenizer, guard: string, value: T): T {
  return guardAll(tokenizer, guard, value) as T;
}

function guardAll(tokenizer: Tokenizer, guard: string, value: unknown): unknown {
  if (typeof value === "string") return tokenizer.guardSpecial(value, guard);
  if (Array.isArray(value)) return value.map((each: unknown) => guardAll(tokenizer, guard, each));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, each]: [string, unknown]) => [
    tokenizer.guardSpecial(name, guard),
    guardAll(tokenizer, guard, each),
  ]);
  return Object.fromEntries(entries) as unknown;
}
