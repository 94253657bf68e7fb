import type { Message } from "../template";
import type { ToolDefinition } from "./definition";

/** Functions in the form that templates know them in. */
export function templateTools(tools: readonly ToolDefinition[]): object[] {
  return tools.map(({ name, description = "", parameters = NO_PARAMETERS }) => ({
    type: "function",
    function: { name, description, parameters },
  }));
}

const NO_PARAMETERS = { type: "object", properties: {} };

/**
 * A conversation for templates that know no functions: what can be called stands in a system message, calls and results
 * in the text, between tags.
 */
export function withToolsAsText(messages: readonly Message[], tools: readonly ToolDefinition[]): Message[] {
  const plain = messages.map(asText);
  if (tools.length === 0) return plain;
  const list = templateTools(tools).map((each) => JSON.stringify((each as { function: object }).function));
  const text =
    "You can call these functions:\n" +
    `${list.join("\n")}\n` +
    "To call one, answer with its name and arguments as JSON between tags:\n" +
    '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>';
  const [first, ...rest] = plain;
  if (first?.role === "system") return [{ role: "system", content: `${first.content}\n\n${text}` }, ...rest];
  return [{ role: "system", content: text }, ...plain];
}

function asText({ role, content, toolCalls }: Message): Message {
  if (role === "tool") return { role: "user", content: `<tool_response>\n${content}\n</tool_response>` };
  if (!toolCalls || toolCalls.length === 0) return { role, content };
  const calls = toolCalls.map(
    ({ name, arguments: text }) => `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${text}}\n</tool_call>`,
  );
  return { role, content: [...(content === "" ? [] : [content]), ...calls].join("\n") };
}
