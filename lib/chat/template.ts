import type { ToolCall } from "../generation";
import { BitnetError, InvalidOptionError, ModelFormatError, UnsupportedModelError } from "../errors";
import { describe, suggestion } from "../validate";
import { builtinTemplates } from "./template_builtin";
import { parseTemplate, type Program, runTemplate, TemplateRefusal } from "./template_runtime";

/** Who speaks. */
export type Role = "system" | "user" | "assistant" | "tool";

/** One turn of a conversation. */
export interface Message {
  /** Who says it. */
  role: Role;
  /** What is said. */
  content: string;
  /** Calls that the assistant made in this turn. */
  toolCalls?: readonly ToolCall[];
  /** In a message of role "tool": the call that it answers. */
  toolCallId?: string;
}

/** What a template is compiled with. */
export interface TemplateTokens {
  /** Text of the beginning-of-sequence token; absent: empty. */
  bosToken?: string;
  /** Text of the end-of-sequence token; absent: empty. */
  eosToken?: string;
  /** Texts that end a turn besides the model's own end tokens. */
  stop?: readonly string[];
}

/** What a rendering can be asked for. */
export interface RenderOptions {
  /** Ends the text where the assistant's answer begins. Default true. */
  addGenerationPrompt?: boolean;
  /** Tools the model may call, as JSON schemas; for templates that know them. */
  tools?: readonly unknown[];
}

const ROLES: readonly string[] = ["system", "user", "assistant", "tool"] satisfies Role[];

/** A chat template: messages to the text that the model was trained to continue. */
export class ChatTemplate {
  private constructor(
    /** Jinja source. */
    readonly source: string,
    /** Texts that end a turn; for vocabularies in which they are no control tokens. */
    readonly stop: readonly string[],
    private readonly program: Program,
    private readonly tokens: TemplateTokens,
  ) {}

  /** Whether it tells the model itself which functions it may call. */
  get knowsTools(): boolean {
    return /\btools\b/.test(this.source);
  }

  /** Parses Jinja source. Throws `ModelFormatError` if it cannot be parsed. */
  static compile(source: string, tokens: TemplateTokens = {}): ChatTemplate {
    try {
      return new ChatTemplate(source, tokens.stop ?? [], parseTemplate(source), tokens);
    } catch (error) {
      throw new ModelFormatError(`The chat template cannot be parsed: ${messageOf(error)}`, { cause: error });
    }
  }

  /** A built-in template: "chatml", "llama3" or "story". Throws `InvalidOptionError` for other names. */
  static named(name: string, tokens: TemplateTokens = {}): ChatTemplate {
    const builtin = Object.hasOwn(builtinTemplates, name) ? builtinTemplates[name] : undefined;
    if (builtin) return ChatTemplate.compile(builtin.source, { stop: builtin.stop, ...tokens });
    throw new InvalidOptionError(
      `Unknown chat template ${describe(name)}.${suggestion(name, Object.keys(builtinTemplates))}`,
    );
  }

  /**
   * The text of a conversation. Give it to a tokenizer with `parseSpecial`; `encodeChat` does so safely.
   *
   * @throws InvalidOptionError for messages that are none, UnsupportedModelError when the template refuses them (with
   * its own words) or uses something that is not supported
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = true, tools } = options;
    const variables: Record<string, unknown> = {
      messages: checkMessages(messages),
      add_generation_prompt: addGenerationPrompt,
      bos_token: this.tokens.bosToken ?? "",
      eos_token: this.tokens.eosToken ?? "",
    };
    if (tools) variables.tools = tools;
    try {
      return runTemplate(this.program, variables);
    } catch (error) {
      if (error instanceof BitnetError) throw error;
      const verb = error instanceof TemplateRefusal ? "refuses these messages" : "cannot be rendered";
      throw new UnsupportedModelError(
        `The chat template ${verb}: ${messageOf(error)}. Change the messages, or choose another template by name ` +
          `(${Object.keys(builtinTemplates).join(", ")}).`,
        { cause: error },
      );
    }
  }
}

/** What templates know a message as; the names are those of the transformers library. */
interface TemplateMessage {
  role: Role;
  content: string;
  tool_calls?: { id: string; type: "function"; function: { name: string; arguments: unknown } }[];
  tool_call_id?: string;
  name?: string;
}

/** Copies of the messages, so that no template can change the caller's. @throws InvalidOptionError */
export function checkMessages(messages: readonly Message[]): TemplateMessage[] {
  if (!Array.isArray(messages)) throw new InvalidOptionError(`messages must be an array, not ${describe(messages)}.`);
  const names = new Map<string, string>();
  return messages.map((message: unknown, i) => {
    const { role, content, toolCalls, toolCallId } = (message ?? {}) as Partial<Message>;
    if (typeof role !== "string" || !ROLES.includes(role)) {
      throw new InvalidOptionError(`messages[${i}].role must be one of ${ROLES.join(", ")}, not ${describe(role)}.`);
    }
    if (typeof content !== "string") {
      throw new InvalidOptionError(`messages[${i}].content must be a string, not ${describe(content)}.`);
    }
    const checked: TemplateMessage = { role, content };
    if (toolCalls !== undefined) {
      if (!Array.isArray(toolCalls)) throw new InvalidOptionError(`messages[${i}].toolCalls must be an array.`);
      checked.tool_calls = toolCalls.map((call: unknown, j) => checkCall(call, `messages[${i}].toolCalls[${j}]`));
      for (const { id, function: called } of checked.tool_calls) names.set(id, called.name);
    }
    if (toolCallId !== undefined) {
      checked.tool_call_id = toolCallId;
      const name = names.get(toolCallId);
      if (name !== undefined) checked.name = name;
    }
    return checked;
  });
}

function checkCall(value: unknown, path: string): NonNullable<TemplateMessage["tool_calls"]>[number] {
  const { id, name, arguments: text } = (value ?? {}) as Partial<ToolCall>;
  if (typeof id !== "string" || typeof name !== "string" || typeof text !== "string") {
    throw new InvalidOptionError(`${path} must have the strings id, name and arguments, not ${describe(value)}.`);
  }
  return { id, type: "function", function: { name, arguments: parsed(text) } };
}

/** Templates write arguments as JSON themselves; what is none stays the text that it is. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function messageOf(error: unknown): string {
  // An error from the template's own context is no instance of this one's Error.
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === "string" ? message : String(error);
}
