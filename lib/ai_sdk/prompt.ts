import { UnsupportedFunctionalityError } from "@ai-sdk/provider";
import type { ChatMessage, ToolCall } from "../server/backend";
import type { LanguageModelCall } from "./call";

type PromptMessage = LanguageModelCall["prompt"][number];
type AssistantPart = Extract<PromptMessage, { role: "assistant" }>["content"][number];
type ToolPart = Extract<PromptMessage, { role: "tool" }>["content"][number];
type ToolOutput = Extract<ToolPart, { type: "tool-result" }>["output"];

/** What a user, a model or a function gave: a text, or a file, whose data version 7 of the SDK tags. */
type ReadablePart = { type: "text"; text: string } | { type: string; mediaType?: string; data?: unknown };

/**
 * The AI SDK's prompt as messages of a chat template: parts are joined, every tool result is a message of its own.
 * Reasoning of earlier turns is left out, as chat templates do, and so is what only another provider understands.
 * @throws UnsupportedFunctionalityError for files other than texts, which no text model can read
 */
export function messagesOf(prompt: LanguageModelCall["prompt"]): ChatMessage[] {
  return prompt.flatMap(messageOf);
}

function messageOf(message: PromptMessage): ChatMessage[] {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }];
    case "user":
      return [{ role: "user", content: message.content.map((part) => textOf(part, "the prompt")).join("") }];
    case "assistant":
      return assistantMessages(message.content);
    case "tool":
      return message.content.flatMap((part) =>
        part.type === "tool-result"
          ? [{ role: "tool" as const, content: outputText(part.output), toolCallId: part.toolCallId }]
          : [],
      );
  }
}

function assistantMessages(parts: readonly AssistantPart[]): ChatMessage[] {
  let content = "";
  const toolCalls: ToolCall[] = [];
  const results: ChatMessage[] = [];
  for (const part of parts) {
    switch (part.type) {
      case "tool-call":
        toolCalls.push({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input ?? {}) });
        break;
      case "tool-result":
        results.push({ role: "tool", content: outputText(part.output), toolCallId: part.toolCallId });
        break;
      case "reasoning":
      case "reasoning-file":
      case "custom":
        break;
      case "text":
      case "file":
        content += textOf(part, "the prompt");
    }
  }
  return [{ role: "assistant", content, ...(toolCalls.length > 0 ? { toolCalls } : {}) }, ...results];
}

function outputText(output: ToolOutput): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The call was not allowed.";
    case "content":
      return output.value.map((part) => textOf(part, "a tool result")).join("");
  }
}

/** @throws UnsupportedFunctionalityError for what is no text */
function textOf(part: ReadablePart, place: string): string {
  if (part.type === "text" && "text" in part) return part.text;
  const { type, mediaType, data } = part as Exclude<ReadablePart, { text: string }>;
  // An inline document is a text, whatever it is a text of.
  if (isInlineText(data)) return data.text;
  const kind = mediaType === undefined ? `type "${type}"` : `type ${mediaType}`;
  throw new UnsupportedFunctionalityError({
    functionality: `parts of ${kind}`,
    message: `This model reads text only; ${place} has a part of ${kind}.`,
  });
}

function isInlineText(data: unknown): data is { text: string } {
  const tagged = data as Partial<Record<"type" | "text", unknown>> | null | undefined;
  return typeof tagged === "object" && tagged?.type === "text" && typeof tagged.text === "string";
}
