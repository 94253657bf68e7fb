import { tokensBeyond } from "../tokenizer";
import { ApiError } from "./api_error";
import type { Backend, ChatMessage, ToolDefinition } from "./backend";

/**
 * Refuses a text that is far too long without reading it to its end: see `tokensBeyond`.
 * @throws ApiError 400
 */
export async function checkLength(
  { tokenizer, contextLength }: Pick<Backend, "tokenizer" | "contextLength">,
  text: string,
): Promise<void> {
  const beyond = await tokensBeyond(tokenizer, text, contextLength);
  if (beyond === undefined) return;
  throw new ApiError(
    400,
    `The prompt has more than ${beyond} tokens; at most ${contextLength - 1} fit into the context of ${contextLength}. ` +
      `Shorten it.`,
    { code: "context_length_exceeded" },
  );
}

/** The same for a conversation and the functions the model is told of. */
export async function checkConversation(
  backend: Pick<Backend, "tokenizer" | "contextLength">,
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[] = [],
): Promise<void> {
  const texts = messages.map(({ content, toolCalls = [] }) => [content, ...toolCalls.map((call) => call.arguments)]);
  await checkLength(backend, [...texts.flat(), ...tools.map((tool) => JSON.stringify(tool))].join("\n"));
}
