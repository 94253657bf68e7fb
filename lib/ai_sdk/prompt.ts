import {
  UnsupportedFunctionalityError,
  type LanguageModelV3Message,
  type LanguageModelV3Prompt,
  type LanguageModelV3ToolResultOutput,
} from "@ai-sdk/provider";
import type { ChatMessage, ToolCall } from "../server/backend";

/**
 * The AI SDK's prompt as messages of a chat template: parts are joined, every tool result is a message of its own.
 * Reasoning of earlier turns is left out, as chat templates do.
 * @throws UnsupportedFunctionalityError for files, which no text model can read
 */
export function messagesOf(prompt: LanguageModelV3Prompt): ChatMessage[] {
  return prompt.flatMap(messageOf);
}

function messageOf(message: LanguageModelV3Message): ChatMessage[] {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }];
    case "user":
      return [{ role: "user", content: message.content.map(textOf).join("") }];
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

type AssistantPart = Extract<LanguageModelV3Message, { role: "assistant" }>["content"][number];

function assistantMessages(parts: readonly AssistantPart[]): ChatMessage[] {
  let content = "";
  const toolCalls: ToolCall[] = [];
  const results: ChatMessage[] = [];
  for (const part of parts) {
    if (part.type === "tool-call") {
      toolCalls.push({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input ?? {}) });
    } else if (part.type === "tool-result") {
      results.push({ role: "tool", content: outputText(part.output), toolCallId: part.toolCallId });
    } else if (part.type !== "reasoning") content += textOf(part);
  }
  return [{ role: "assistant", content, ...(toolCalls.length > 0 ? { toolCalls } : {}) }, ...results];
}

function textOf(part: { type: "text"; text: string } | { type: "file"; mediaType: string }): string {
  if (part.type === "text") return part.text;
  throw new UnsupportedFunctionalityError({
    functionality: `file parts (${part.mediaType})`,
    message: `This model reads text only; the prompt has a file of type ${part.mediaType}.`,
  });
}

function outputText(output: LanguageModelV3ToolResultOutput): string {
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
      return output.value
        .map((part) => {
          if (part.type === "text") return part.text;
          throw new UnsupportedFunctionalityError({
            functionality: `tool results of type ${part.type}`,
            message: `This model reads text only; a tool result has a part of type "${part.type}".`,
          });
        })
        .join("");
  }
}
