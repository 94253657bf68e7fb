import { Sequence, type Engine } from "../engine";
import { AbortError, ClosedError, ContextLengthError, InvalidOptionError, QueueFullError } from "../errors";
import {
  collectText,
  generationChecks,
  resolveGenerationOptions,
  TextStream,
  type GenerationOptions,
  type GenerationResult,
  type ResolvedGenerationOptions,
} from "../generation";
import { checkOptions, choice, describe, text } from "../validate";
import { ChatTemplate, type Message } from "./template";
import { encodeChat } from "./template_encode";

/** How a session is set up; the generation options are defaults for every answer. */
export interface ChatOptions extends Omit<GenerationOptions, "signal"> {
  /** Tells the model how to behave; the first message of every prompt. Default none. */
  system?: string;
  /** Name of a built-in template, or Jinja source. Default: the model's own. */
  template?: string;
  /**
   * What happens when an answer fills the context: "stop" ends it with the finish reason "context"; "error" fails it with
   * `ContextLengthError`. A question that does not fit fails in both cases. Default "stop".
   */
  overflow?: "stop" | "error";
}

const { signal: _signal, ...answerChecks } = generationChecks;
const chatChecks = {
  ...answerChecks,
  system: text(),
  template: text(),
  overflow: choice(["stop", "error"] as const),
};

/**
 * A conversation. The KV cache of earlier turns is kept, so that only what is new is computed.
 *
 * A turn is all or nothing: question and answer enter `messages` together when the answer is complete. An answer that
 * was aborted, left or failed leaves the history as it was before the question.
 */
export class ChatSession {
  private readonly defaults: GenerationOptions;
  private readonly template: ChatTemplate;
  private readonly overflow: "stop" | "error";
  private readonly sequence = new Sequence();
  private history: Message[];
  private active: TextStream | undefined;
  private closed = false;

  /** Made by `model.chat`. @throws InvalidOptionError, ModelFormatError for a template that cannot be parsed */
  constructor(
    private readonly engine: Engine,
    options?: ChatOptions,
  ) {
    engine.checkOpen();
    const { system, template, overflow, ...defaults } = checkOptions("model.chat", options, chatChecks);
    this.defaults = defaults;
    this.overflow = overflow ?? "stop";
    this.template = chooseTemplate(engine, template);
    this.history = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /** The conversation so far, the system message included. A copy. */
  get messages(): Message[] {
    return this.history.map((message) => ({ ...message }));
  }

  /**
   * Asks, and streams the answer. Work begins with the first read.
   * @throws InvalidOptionError, ClosedError. Reading rejects with `QueueFullError` while another answer is being read,
   * `ContextLengthError` when the conversation has outgrown the context, `AbortError`.
   */
  send(question: string, options?: GenerationOptions): TextStream {
    this.checkOpen();
    if (typeof question !== "string") {
      throw new InvalidOptionError(`chat.send: the message must be a string, not ${describe(question)}.`);
    }
    const resolved = this.resolve(options);
    const message: Message = { role: "user", content: question };
    let answer = "";
    const stream: TextStream = new TextStream({
      engine: this.engine,
      what: "chat.send",
      options: resolved,
      sequence: this.sequence,
      prompt: async () => {
        this.begin(stream);
        const tokens = await encodeChat(this.template, this.engine.tokenizer, [...this.history, message]);
        if (tokens.length > 0) return tokens;
        throw new InvalidOptionError("chat.send: the conversation has no tokens; write something.");
      },
      onRead: (chunk) => {
        answer += chunk.text;
        if (chunk.finishReason === "context" && this.overflow === "error") {
          throw new ContextLengthError("chat.send: the answer does not fit into what is left of the context.");
        }
      },
      ended: (complete) => {
        if (this.active !== stream) return;
        this.active = undefined;
        if (complete) this.history = [...this.history, message, { role: "assistant", content: answer }];
      },
    });
    return stream;
  }

  /** Asks, and waits for the whole answer. */
  async ask(question: string, options?: GenerationOptions): Promise<GenerationResult> {
    return collectText(this.send(question, options));
  }

  /** Frees the cache. An answer under way is given up. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.active?.stop(new AbortError("chat.send was stopped: the session was closed."));
    this.engine.release(this.sequence);
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError("The chat session was closed; start another with model.chat.");
    this.engine.checkOpen();
  }

  private begin(stream: TextStream): void {
    this.checkOpen();
    if (this.active) {
      throw new QueueFullError(
        "chat.send: an answer is still being read; finish or leave it before the next question.",
      );
    }
    this.active = stream;
  }

  /** A turn's options over the session's, and what ends a turn in this template. */
  private resolve(options: GenerationOptions | undefined): ResolvedGenerationOptions {
    const own = checkOptions("chat.send", options, generationChecks);
    const resolved = resolveGenerationOptions("chat.send", { ...this.defaults, ...own });
    const { tokenizer } = this.engine;
    const stop = [...resolved.stop];
    const stopTokens = [...resolved.stopTokens];
    for (const end of this.template.stop) {
      const id = tokenizer.idOf(end);
      if (id !== undefined && tokenizer.isSpecial(id)) stopTokens.push(id);
      else stop.push(end);
    }
    return { ...resolved, stop, stopTokens };
  }
}

/**
 * The template by name or source, else the model's own.
 * @throws InvalidOptionError where there is none, ModelFormatError for one that cannot be parsed
 */
export function chooseTemplate(
  engine: Pick<Engine, "tokenizer" | "info" | "chatTemplate">,
  template: string | undefined,
): ChatTemplate {
  const { tokenizer, chatTemplate } = engine;
  const { bosId, eosIds } = tokenizer;
  const textOf = (id: number | undefined): string =>
    id === undefined ? "" : tokenizer.decode([id], { skipSpecial: false });
  const tokens = { bosToken: textOf(bosId), eosToken: textOf(eosIds[0]) };
  const source = template ?? chatTemplate;
  if (source === undefined) {
    throw new InvalidOptionError(
      `model.chat: "${engine.info.path}" has no chat template; choose one with the option "template", "chatml" for example.`,
    );
  }
  const isJinja = template === undefined || /\{[{%]/.test(source);
  return isJinja ? ChatTemplate.compile(source, tokens) : ChatTemplate.named(source, tokens);
}
