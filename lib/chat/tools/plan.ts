import { InvalidOptionError } from "../../errors";
import type { ResolvedGenerationOptions } from "../../generation";
import type { Tokenizer } from "../../tokenizer";
import type { ChatTemplate, Message } from "../template";
import { encodeChat, type TextCheck } from "../template_encode";
import { CallReader } from "./call_reader";
import { callsForm, eitherForm } from "./calls_form";
import type { ToolChoice, ToolDefinition } from "./definition";
import { chooseToolFormat, type ToolFormat } from "./format";
import { templateTools, withToolsAsText } from "./prompt";

/** What a model may call, and how. */
export interface ToolSettings {
  tools: readonly ToolDefinition[];
  /** Default "auto". */
  choice?: ToolChoice;
  /** Whether one answer may have several calls. Default true. */
  parallel?: boolean;
  /** Name of the form in which the model writes calls. Default: what the template shows. */
  format?: string;
}

/** One conversation's functions with one template: how they enter the prompt, and how calls are held and read. */
export class ToolPlan {
  private constructor(
    private readonly template: ChatTemplate,
    private readonly tokenizer: Tokenizer,
    private readonly settings: ToolSettings,
    private readonly format: ToolFormat | undefined,
  ) {}

  /** @throws InvalidOptionError for a choice that is none of the functions, UnsupportedModelError (`chooseToolFormat`) */
  static make(what: string, template: ChatTemplate, tokenizer: Tokenizer, settings: ToolSettings): ToolPlan {
    const { tools, choice, format } = settings;
    const named = typeof choice === "object" ? choice.name : undefined;
    if (named !== undefined && !tools.some(({ name }) => name === named)) {
      throw new InvalidOptionError(`${what}: option "toolChoice" names "${named}", which is none of the tools.`);
    }
    if (choice === "required" && tools.length === 0) {
      throw new InvalidOptionError(`${what}: option "toolChoice" is "required", but there are no tools.`);
    }
    const used = tools.length > 0 || format !== undefined;
    return new ToolPlan(template, tokenizer, settings, used ? chooseToolFormat(template, format) : undefined);
  }

  /** The ids of a conversation up to where the answer begins. `check` may refuse its text. */
  encode(messages: readonly Message[], check?: TextCheck): Promise<Int32Array> {
    const { template, tokenizer, settings } = this;
    const tools = settings.choice === "none" ? [] : settings.tools;
    if (template.knowsTools) {
      const options = tools.length > 0 ? { tools: templateTools(tools) } : {};
      return encodeChat(template, tokenizer, messages, options, check);
    }
    return encodeChat(template, tokenizer, withToolsAsText(messages, tools), {}, check);
  }

  /** How many tokens stand before the first question: those of the system message and of the functions. */
  async systemLength(system: Message): Promise<number> {
    const [first, second] = await Promise.all(
      ["a", "b"].map((content) => this.encode([system, { role: "user", content }])),
    );
    let length = 0;
    while (first && length < first.length && first[length] === second?.[length]) length++;
    return length;
  }

  /** Holds calls to their schemas: from the first token on where one must come, else from where one begins. */
  hold(options: ResolvedGenerationOptions): ResolvedGenerationOptions {
    const { settings, format, tokenizer } = this;
    const { choice = "auto", parallel = true, tools } = settings;
    if (!format || choice === "none" || tools.length === 0) return options;
    const some = typeof choice === "object" ? tools.filter(({ name }) => name === choice.name) : tools;
    const calls = callsForm(format, some, parallel && typeof choice !== "object", tokenizer);
    if (choice !== "auto") return { ...options, form: calls };
    if (options.form) return { ...options, form: eitherForm(options.form, calls) };
    return { ...options, lateForm: { form: calls, triggers: format.triggers } };
  }

  /** Reads one answer; undefined where no calls are looked for. */
  reader(): CallReader | undefined {
    const { format, settings } = this;
    return format && settings.choice !== "none" && settings.tools.length > 0 ? new CallReader(format) : undefined;
  }
}
