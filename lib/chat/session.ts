import { Sequence, type Engine } from "../engine";
import { AbortError, ClosedError, InvalidOptionError, QueueFullError } from "../errors";
import { collectResult, TextStream, type GenerationResult } from "../generation";
import type { SchemaLike, ToolCall, ValueOf } from "../generation";
import { checkObjects, checkOptions, choice, describe, integer, text, type CheckedOptions } from "../validate";
import { answerChecks, resolveAnswerOptions, type AnswerOptions, type ResolvedAnswerOptions } from "./chat_options";
import { chooseTemplate } from "./choose_template";
import { readSession, writeSession } from "./saved_session";
import { planTools, prepareAnswer } from "./prepare";
import type { ChatTemplate, Message } from "./template";
import { resultText } from "./tools";
import { ChatTurn } from "./turn";

/** How a session is set up; the generation options are defaults for every answer. */
export interface ChatOptions extends Omit<AnswerOptions, "signal"> {
  /** Tells the model how to behave; the first message of every prompt. Default none. */
  system?: string;
  /** Name of a built-in template, or Jinja source. Default: the model's own. */
  template?: string;
  /**
   * Most answers of one turn, 1 to 100: where functions have an `execute`, they are called and the model answers again.
   * The calls of the last answer are not followed; the turn ends with them. Default 8.
   */
  maxToolRounds?: number;
  /**
   * What happens when a function throws: "throw" fails the turn with a `ToolError`; "tell" tells the model, which may
   * try again. Default "throw".
   */
  toolErrors?: "throw" | "tell";
}

/** What a function gave that the caller called. */
export interface GivenToolResult {
  /** The call's. */
  id: string;
  /** A string as it is, anything else as JSON. */
  content: unknown;
}

const { signal: _signal, ...defaultChecks } = answerChecks;
const chatChecks = {
  ...defaultChecks,
  system: text(),
  template: text(),
  maxToolRounds: integer({ min: 1, max: 100 }),
  toolErrors: choice(["throw", "tell"] as const),
};
const { system: _system, ...loadChecks } = chatChecks;

/**
 * A conversation. The KV cache of earlier turns is kept, so that only what is new is computed.
 *
 * A turn is all or nothing: question and answer enter `messages` together when the answer is complete. An answer that
 * was aborted, left or failed leaves the history as it was before the question.
 */
export class ChatSession {
  private readonly defaults: CheckedOptions<typeof answerChecks>;
  private readonly template: ChatTemplate;
  private readonly givenTemplate: string | undefined;
  private readonly mostRounds: number;
  private readonly tellErrors: boolean;
  private sequence = new Sequence();
  private history: Message[];
  /** Messages behind the system's that the model is not told any more. */
  private forgotten = 0;
  private openCalls: readonly ToolCall[] = [];
  private active: ChatTurn | undefined;
  private closed = false;

  /** Made by `model.chat`. @throws InvalidOptionError, ModelFormatError for a template that cannot be parsed */
  constructor(
    private readonly engine: Engine,
    options?: ChatOptions,
  ) {
    engine.checkOpen();
    const { system, template, maxToolRounds, toolErrors, ...defaults } = checkOptions(
      "model.chat",
      options,
      chatChecks,
    );
    this.defaults = defaults;
    this.mostRounds = maxToolRounds ?? 8;
    this.tellErrors = toolErrors === "tell";
    this.givenTemplate = template;
    this.template = chooseTemplate(engine, template);
    this.history = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /** The conversation so far, the system message included. A copy. */
  get messages(): Message[] {
    return this.history.map((message) => ({ ...message }));
  }

  /** Calls of functions that the last answer ended with; they want `sendToolResults`. */
  get pendingToolCalls(): readonly ToolCall[] {
    return this.openCalls;
  }

  /**
   * Asks, and streams the answer. Work begins with the first read.
   * @throws InvalidOptionError, ClosedError. Reading rejects with `QueueFullError` while another answer is being read,
   * `ContextLengthError` when the conversation has outgrown the context, `ToolError`, `AbortError`.
   */
  send(question: string, options?: AnswerOptions): ChatTurn {
    this.checkOpen();
    if (typeof question !== "string") {
      throw new InvalidOptionError(`chat.send: the message must be a string, not ${describe(question)}.`);
    }
    return this.turn("chat.send", [{ role: "user", content: question }], options);
  }

  /**
   * Asks for JSON that is valid for a schema (plain, or of zod 4), waits for the whole answer and gives its value. Rejects
   * with `IncompleteTextError` when the answer ended before it was complete, or called functions whose results are wanted
   * first; it is part of the conversation then all the same.
   */
  ask<const S extends SchemaLike>(
    question: string,
    options: AnswerOptions & { schema: S },
  ): Promise<GenerationResult & { value: ValueOf<S> }>;
  /** Asks, and waits for the whole answer. */
  ask(question: string, options?: AnswerOptions): Promise<GenerationResult>;
  async ask(
    question: string,
    options?: AnswerOptions & { schema?: SchemaLike },
  ): Promise<GenerationResult & { value?: unknown }> {
    return collectResult("chat.ask", options, (given) => this.send(question, given));
  }

  /**
   * Answers the calls that the last answer ended with, all of them, and streams what the model says to that.
   * @throws InvalidOptionError for results that are not those of `pendingToolCalls`, and what `send` throws
   */
  sendToolResults(results: readonly GivenToolResult[], options?: AnswerOptions): ChatTurn {
    const what = "chat.sendToolResults";
    this.checkOpen();
    checkObjects(`${what}: results`, "{ id, content }", results);
    const messages = this.openCalls.map(({ id, name }): Message => {
      const given = results.filter((each) => each.id === id);
      if (given.length === 1) return { role: "tool", content: resultText(given[0]?.content), toolCallId: id };
      throw new InvalidOptionError(`${what}: the call "${id}" of "${name}" needs one result, not ${given.length}.`);
    });
    if (messages.length === 0) throw new InvalidOptionError(`${what}: no function was called.`);
    if (results.length > messages.length) {
      throw new InvalidOptionError(`${what}: there are ${results.length} results for ${messages.length} calls.`);
    }
    return this.turn(what, messages, options);
  }

  /** See `Model.saveState`. */
  async save(path: string, engine: Engine): Promise<void> {
    this.checkOpen();
    const what = "model.saveState";
    if (engine !== this.engine) throw new InvalidOptionError(`${what}: the session belongs to another model.`);
    if (this.active) throw new QueueFullError(`${what}: an answer is still being read; finish or leave it first.`);
    const { history: messages, forgotten, openCalls, givenTemplate: template } = this;
    await engine.saveState(path, this.sequence, writeSession({ messages, forgotten, openCalls, template }));
  }

  /** See `Model.loadState`. */
  static async load(engine: Engine, path: string, options?: Omit<ChatOptions, "system">): Promise<ChatSession> {
    checkOptions("model.loadState", options, loadChecks);
    const { sequence, content } = await engine.restoreState(path);
    try {
      const { template, messages, forgotten, openCalls } = readSession(path, content);
      const session = new ChatSession(engine, { ...(template === undefined ? {} : { template }), ...options });
      Object.assign(session, { sequence, history: messages, forgotten, openCalls });
      return session;
    } catch (error) {
      engine.release(sequence);
      throw error;
    }
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

  private turn(what: string, messages: readonly Message[], options: AnswerOptions | undefined): ChatTurn {
    const own = checkOptions(what, options, answerChecks);
    const answer = resolveAnswerOptions(what, { ...this.defaults, ...own }, this.template, this.engine.tokenizer);
    const turn: ChatTurn = new ChatTurn({
      what,
      signal: answer.generation.signal,
      timeout: answer.generation.timeout,
      messages,
      tools: answer.tools,
      mostRounds: this.mostRounds,
      tellErrors: this.tellErrors,
      begin: () => this.begin(turn, what, messages),
      answer: (added, round) => this.answer(what, added, round === 0 ? answer : { ...answer, ...afterResults(answer) }),
      ended: (added, openCalls) => {
        if (this.active !== turn) return;
        this.active = undefined;
        if (!added) return;
        this.history = [...this.history, ...added];
        this.openCalls = openCalls;
      },
    });
    return turn;
  }

  /** One answer to the history with these messages behind it. */
  private answer(what: string, added: readonly Message[], answer: ResolvedAnswerOptions): TextStream {
    return new TextStream({
      engine: this.engine,
      what,
      // The turn sees to its time.
      options: { ...answer.generation, timeout: undefined },
      sequence: this.sequence,
      prompt: async () => {
        const plan = await planTools(what, this.engine, this.template, answer);
        const prompt = await prepareAnswer(
          what,
          this.engine,
          plan,
          [...this.history, ...added],
          answer,
          this.forgotten,
        );
        this.forgotten = prompt.forgotten;
        return prompt;
      },
      ended: () => undefined,
    });
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError("The chat session was closed; start another with model.chat.");
    this.engine.checkOpen();
  }

  private begin(turn: ChatTurn, what: string, messages: readonly Message[]): void {
    this.checkOpen();
    if (this.active) {
      throw new QueueFullError(`${what}: an answer is still being read; finish or leave it before the next question.`);
    }
    const answers = messages.flatMap(({ toolCallId }) => toolCallId ?? []);
    if (answers.length !== this.openCalls.length || this.openCalls.some(({ id }) => !answers.includes(id))) {
      throw new InvalidOptionError(
        `${what}: the last answer called functions; give their results with sendToolResults, all and only once.`,
      );
    }
    this.active = turn;
  }
}

/** Once functions were called, whether to call more is the model's choice: else it would never end. */
function afterResults({ toolChoice }: ResolvedAnswerOptions): Partial<ResolvedAnswerOptions> {
  return { toolChoice: toolChoice === "none" ? "none" : "auto" };
}
