import { invalid, unsupported } from "./api_error";
import type { BackendOptions, ChatMessage, TextFormat, ToolCall, ToolChoice, ToolDefinition } from "./backend";
import { Fields } from "./fields";
import { readGeneration, type GenerationPlan } from "./sampling_fields";

/** Most messages of a conversation. */
const MOST_MESSAGES = 4096;
const MOST_TOOLS = 128;

/** A checked body of `/v1/chat/completions`. */
export interface ChatRequest extends GenerationPlan {
  model: string | undefined;
  messages: ChatMessage[];
}

/** @throws ApiError 400 */
export function readChatRequest(body: unknown): ChatRequest {
  const fields = new Fields(body);
  const model = fields.string("model");
  const list = fields.required("messages", fields.array("messages", { min: 1, max: MOST_MESSAGES }));
  const messages = list.map((each, i) => readMessage(new Fields(each, `messages[${i}]`)));
  refuseUnaskedAnswers(messages);
  const plan = readGeneration(fields);
  const { options } = plan;
  // The older name goes behind the newer one, as with OpenAI.
  const older = fields.integer("max_tokens", { min: 1 });
  const maxTokens = fields.integer("max_completion_tokens", { min: 1 }) ?? older;
  if (maxTokens !== undefined) options.maxTokens = maxTokens;
  readLogprobs(fields, options);
  const format = fields.object("response_format");
  if (format) setFormat(options, readFormat(format));
  readTools(fields, options);
  fields.ignore("metadata", "store", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "verbosity");
  const modalities = fields.array("modalities");
  if (modalities?.some((each) => each !== "text")) throw unsupported("modalities", "Only text can be generated.");
  fields.refuse("audio", "Only text can be generated.");
  fields.refuse("prediction", "It is not supported by this server.");
  fields.refuse("web_search_options", "It is not supported by this server.");
  for (const old of ["functions", "function_call"]) fields.refuse(old, "Use 'tools' and 'tool_choice'.");
  fields.done();
  return { ...plan, model, messages };
}

function readLogprobs(fields: Fields, options: BackendOptions): void {
  const wanted = fields.boolean("logprobs") ?? false;
  const top = fields.integer("top_logprobs", { min: 0, max: 20 });
  if (top !== undefined && !wanted) {
    throw invalid("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs");
  }
  if (wanted) options.logprobs = top ?? 0;
}

const ROLES = ["system", "developer", "user", "assistant", "tool"] as const;

function readMessage(fields: Fields): ChatMessage {
  const role = fields.required("role", fields.choice("role", ROLES));
  const calls = role === "assistant" ? fields.array("tool_calls", { max: MOST_TOOLS }) : undefined;
  const content = readContent(fields, "content");
  if (content === undefined && !calls) fields.required("content", undefined);
  fields.ignore("name", "refusal");
  const message: ChatMessage = { role: role === "developer" ? "system" : role, content: content ?? "" };
  if (calls) {
    message.toolCalls = calls.map((each, i) => readToolCall(new Fields(each, `${fields.pathOf("tool_calls")}[${i}]`)));
  }
  if (role === "tool") message.toolCallId = fields.required("tool_call_id", fields.string("tool_call_id"));
  fields.refuse("audio", "Only text can be read.");
  fields.refuse("function_call", "Use 'tool_calls'.");
  fields.done();
  return message;
}

/** A tool's message answers a call that an earlier message made, as with OpenAI. */
function refuseUnaskedAnswers(messages: readonly ChatMessage[]): void {
  const asked = new Set<string>();
  messages.forEach(({ role, toolCalls, toolCallId }, i) => {
    for (const { id } of toolCalls ?? []) asked.add(id);
    if (role === "tool" && !asked.has(toolCallId ?? "")) {
      throw invalid("A message of a tool must answer a call in 'tool_calls' of an earlier message.", `messages[${i}]`);
    }
  });
}

/** Content is text, or parts of which all are text. */
export function readContent(fields: Fields, name: string): string | undefined {
  const value = fields.any(name);
  if (value === undefined || typeof value === "string") return value;
  if (!Array.isArray(value)) throw fields.wrongType(name, "a string or an array of parts", value);
  return value.map((each, i) => readPart(new Fields(each, `${fields.pathOf(name)}[${i}]`))).join("");
}

const TEXT_PARTS = ["text", "input_text", "output_text"];

function readPart(part: Fields): string {
  const type = part.required("type", part.string("type"));
  if (!TEXT_PARTS.includes(type)) throw unsupported(part.pathOf("type"), "Only text can be read.");
  const text = part.required("text", part.string("text"));
  part.ignore("annotations", "logprobs");
  part.done();
  return text;
}

function readToolCall(fields: Fields): ToolCall {
  const id = fields.required("id", fields.string("id"));
  fields.choice("type", ["function"]);
  const call = fields.required("function", fields.object("function"));
  const name = call.required("name", call.string("name"));
  const args = call.required("arguments", call.string("arguments"));
  call.done();
  fields.done();
  return { id, name, arguments: args };
}

/** Reads `response_format`, or `text.format` of a response. */
export function readFormat(fields: Fields): TextFormat | undefined {
  const type = fields.required("type", fields.choice("type", ["text", "json_object", "json_schema"]));
  if (type !== "json_schema") {
    fields.done();
    return type === "text" ? undefined : { type };
  }
  // Responses have name and schema beside the type; chat completions in an object of their own.
  const inner = fields.object("json_schema") ?? fields;
  inner.required("name", inner.string("name"));
  const schema = readSchema(inner, "schema") ?? {};
  inner.string("description");
  inner.boolean("strict");
  inner.done();
  fields.done();
  return { type, schema };
}

/** Sets the form of the text where one is asked for. */
export function setFormat(options: BackendOptions, format: TextFormat | undefined): void {
  if (format) options.format = format;
}

function readSchema(fields: Fields, name: string): Record<string, unknown> | undefined {
  if (!fields.object(name)) return undefined;
  return fields.any(name) as Record<string, unknown>;
}

function readTools(fields: Fields, options: BackendOptions): void {
  const list = fields.array("tools", { max: MOST_TOOLS });
  const parallel = fields.boolean("parallel_tool_calls");
  const tools = list?.map((each, i) => {
    const tool = new Fields(each, `tools[${i}]`);
    readFunctionType(tool);
    const inner = tool.required("function", tool.object("function"));
    tool.done();
    return readFunction(inner);
  });
  setTools(options, tools, readToolChoice(fields), parallel);
}

function readFunctionType(tool: Fields): void {
  const type = tool.required("type", tool.string("type"));
  if (type !== "function") throw unsupported(tool.pathOf("type"), "Only functions are supported.");
}

function readFunction(fields: Fields): ToolDefinition {
  const name = fields.required("name", fields.string("name"));
  if (!/^[\w.-]{1,64}$/.test(name)) {
    throw invalid("Invalid function name: letters, digits, '_', '-' and '.', at most 64.", fields.pathOf("name"));
  }
  const description = fields.string("description");
  const parameters = readSchema(fields, "parameters");
  const strict = fields.boolean("strict");
  fields.done();
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(strict === undefined ? {} : { strict }),
  };
}

/** A function of `/v1/responses`, which has its name beside the type. */
export function readFlatTool(tool: Fields): ToolDefinition {
  readFunctionType(tool);
  return readFunction(tool);
}

/** Reads `tool_choice` in the form of either endpoint. */
export function readToolChoice(fields: Fields): ToolChoice | undefined {
  const value = fields.any("tool_choice");
  if (value === undefined) return undefined;
  if (typeof value === "string") return fields.choice("tool_choice", ["auto", "none", "required"]);
  const choice = new Fields(value, "tool_choice");
  readFunctionType(choice);
  const inner = choice.object("function") ?? choice;
  const name = inner.required("name", inner.string("name"));
  inner.done();
  choice.done();
  return { name };
}

/** Sets the functions that the model may call. @throws ApiError 400 for a choice that is none of them */
export function setTools(
  options: BackendOptions,
  tools: ToolDefinition[] | undefined,
  choice: ToolChoice | undefined,
  parallel: boolean | undefined,
): void {
  if (!tools || tools.length === 0) {
    if (choice !== undefined && choice !== "none" && choice !== "auto") {
      throw invalid("Invalid 'tool_choice': it is only allowed when 'tools' are given.", "tool_choice");
    }
    return;
  }
  const names = tools.map(({ name }) => name);
  if (new Set(names).size < names.length) throw invalid("Invalid 'tools': two functions have one name.", "tools");
  if (typeof choice === "object" && !names.includes(choice.name)) {
    throw invalid("Invalid 'tool_choice': 'tools' has no function of that name.", "tool_choice");
  }
  options.tools = tools;
  if (choice !== undefined) options.toolChoice = choice;
  if (parallel !== undefined) options.parallelToolCalls = parallel;
}
