import { ApiError } from "./api_error";
import type { Backend, ChatMessage, ToolDefinition } from "./backend";

/** Characters that are looked at first for each token of the context. Text has three to five a token. */
const FIRST_LOOK = 16;
/** A beginning of so many contexts leaves no doubt: cutting a text changes the tokens at the cut only. */
const BEYOND_DOUBT = 2;

/**
 * Refuses a text that is far too long by its beginning. All texts are turned into tokens by one thread, which a few
 * megabytes would keep from the others' for seconds, only to learn that they do not fit.
 * @throws ApiError 400
 */
export async function checkLength(
  { tokenizer, contextLength }: Pick<Backend, "tokenizer" | "contextLength">,
  text: string,
): Promise<void> {
  for (let length = contextLength * FIRST_LOOK; 2 * length <= text.length; length *= 4) {
    const beginning = await tokenizer.encode(text.slice(0, length));
    if (beginning.length <= BEYOND_DOUBT * contextLength) continue;
    throw new ApiError(
      400,
      `The prompt has more than ${beginning.length} tokens; at most ${contextLength - 1} fit into the context of ` +
        `${contextLength}. Shorten it.`,
      { code: "context_length_exceeded" },
    );
  }
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
