import { invalid, unsupported } from "./api_error";
import type { BackendOptions, ChatMessage, TextFormat } from "./backend";
import { readContent, readFlatTool, readFormat, readToolChoice, setFormat, setTools } from "./chat_request";
import { Fields } from "./fields";
import { readSampling } from "./sampling_fields";

/** Most items of an input. */
const MOST_ITEMS = 4096;

/** A checked body of `/v1/responses`. */
export interface ResponseRequest {
  model: string | undefined;
  messages: ChatMessage[];
  stream: boolean;
  options: BackendOptions;
  /** Fields that the answer repeats. */
  echo: Readonly<Record<string, unknown>>;
}

/** @throws ApiError 400 */
export function readResponseRequest(body: unknown): ResponseRequest {
  const fields = new Fields(body);
  const model = fields.string("model");
  const instructions = fields.string("instructions");
  const messages = readInput(fields);
  if (instructions !== undefined) messages.unshift({ role: "system", content: instructions });
  const stream = fields.boolean("stream") ?? false;
  if (fields.object("stream_options")) fields.ignore("stream_options");
  const options = readSampling(fields);
  const maxTokens = fields.integer("max_output_tokens", { min: 1 });
  if (maxTokens !== undefined) options.maxTokens = maxTokens;
  const format = readText(fields);
  setFormat(options, format);
  const tools = fields.array("tools", { max: 128 })?.map((each, i) => readFlatTool(new Fields(each, `tools[${i}]`)));
  const parallel = fields.boolean("parallel_tool_calls");
  const choice = readToolChoice(fields);
  setTools(options, tools, choice, parallel);
  readInclude(fields, options);
  refuseState(fields);
  fields.ignore("metadata", "store", "user", "safety_identifier", "service_tier", "reasoning", "max_tool_calls");
  fields.ignore("prompt_cache_key", "prompt_cache_retention");
  fields.done();
  if (messages.length === 0) throw invalid("Invalid 'input': it must not be empty.", "input");
  const echo = {
    instructions: instructions ?? null,
    max_output_tokens: maxTokens ?? null,
    metadata: fields.any("metadata") ?? {},
    parallel_tool_calls: parallel ?? true,
    temperature: options.temperature ?? null,
    top_p: options.topP ?? null,
    text: { format: fields.object("text")?.any("format") ?? { type: "text" } },
    tool_choice: fields.any("tool_choice") ?? "auto",
    tools: fields.any("tools") ?? [],
    user: fields.any("user") ?? null,
  };
  return { model, messages, stream, options, echo };
}

function readInput(fields: Fields): ChatMessage[] {
  const input = fields.required("input", fields.any("input"));
  if (typeof input === "string") return [{ role: "user", content: input }];
  const items = fields.array("input", { max: MOST_ITEMS }) ?? [];
  return items.map((each, i) => readItem(new Fields(each, `input[${i}]`)));
}

const ROLES = ["system", "developer", "user", "assistant"] as const;

function readItem(item: Fields): ChatMessage {
  const type = item.string("type") ?? "message";
  item.ignore("id", "status");
  const message = readItemOf(type, item);
  item.done();
  return message;
}

function readItemOf(type: string, item: Fields): ChatMessage {
  switch (type) {
    case "message": {
      const role = item.required("role", item.choice("role", ROLES));
      const content = item.required("content", readContent(item, "content"));
      return { role: role === "developer" ? "system" : role, content };
    }
    case "function_call": {
      const id = item.required("call_id", item.string("call_id"));
      const name = item.required("name", item.string("name"));
      const args = item.required("arguments", item.string("arguments"));
      return { role: "assistant", content: "", toolCalls: [{ id, name, arguments: args }] };
    }
    case "function_call_output": {
      const toolCallId = item.required("call_id", item.string("call_id"));
      return { role: "tool", content: item.required("output", readContent(item, "output")), toolCallId };
    }
    default:
      throw unsupported(item.pathOf("type"), "Items are messages, function calls and their outputs.");
  }
}

function readText(fields: Fields): TextFormat | undefined {
  const text = fields.object("text");
  if (!text) return undefined;
  const format = text.object("format");
  text.ignore("verbosity");
  text.done();
  return format && readFormat(format);
}

function readInclude(fields: Fields, options: BackendOptions): void {
  const top = fields.integer("top_logprobs", { min: 0, max: 20 });
  for (const each of fields.array("include") ?? []) {
    if (each !== "message.output_text.logprobs") throw unsupported("include", "Only 'message.output_text.logprobs'.");
    options.logprobs = top ?? 0;
  }
}

/** Nothing is stored between requests. */
function refuseState(fields: Fields): void {
  const reason = "Responses are not stored; send the conversation as 'input'.";
  for (const name of ["previous_response_id", "conversation"]) fields.refuse(name, reason);
  fields.refuse("prompt", "Stored prompts are not supported.");
  if (fields.boolean("background") === true) throw unsupported("background", "Responses are not stored.");
  if (fields.choice("truncation", ["auto", "disabled"]) === "auto") {
    throw unsupported("truncation", "A conversation that is too long is refused; shorten it.");
  }
}
