import { randomUUID } from "node:crypto";
import { TriggerSearch, type Chunk, type ToolCallDelta, type TokenLogprobs } from "../../generation";
import type { ToolFormat } from "./format";

type Place =
  /** Text that the reader is to have. */
  | "text"
  /** Behind a trigger, before the arguments. */
  | "head"
  | "arguments"
  /** Behind a call; another may come. */
  | "between";

/**
 * Takes function calls out of an answer: chunks have the text before them and the calls' pieces as they come. What
 * begins like a call and is none stays text.
 */
export class CallReader {
  private place: Place = "text";
  private readonly triggers: TriggerSearch;
  /** What stands between a trigger and a call's arguments. */
  private readonly head: RegExp;
  private buffer = "";
  private depth = 0;
  private inString = false;
  private escaped = false;
  private calls = 0;
  private complete = 0;
  /** Of chunks that are held back. */
  private tokens: number[] = [];
  private logprobs: TokenLogprobs[] = [];

  constructor(format: ToolFormat) {
    this.triggers = new TriggerSearch(format.triggers);
    this.head = new RegExp(
      `^(?:<[^{]*>)?\\s*\\{\\s*"name"\\s*:\\s*("(?:[^"\\\\]|\\\\.)*")\\s*,\\s*"${format.argumentsKey}"\\s*:\\s*(?=\\{)`,
    );
  }

  /** What the reader gets in place of a chunk; nothing where all of it is held back. */
  read(chunk: Chunk): Chunk | undefined {
    const deltas: ToolCallDelta[] = [];
    let text = this.take(chunk.text, deltas);
    for (const token of chunk.tokens) this.tokens.push(token);
    for (const each of chunk.logprobs ?? []) this.logprobs.push(each);
    const { finishReason } = chunk;
    if (finishReason !== undefined) text += this.flush();
    if (text === "" && deltas.length === 0 && finishReason === undefined) return undefined;
    const { tokens, logprobs } = this;
    this.tokens = [];
    this.logprobs = [];
    // A text that was cut off says so; its calls that are whole are there all the same.
    const called = this.complete > 0 && (finishReason === "stop" || finishReason === "stop_string");
    return {
      ...chunk,
      ...{ text, tokens },
      ...(chunk.logprobs ? { logprobs } : {}),
      ...(deltas.length > 0 ? { toolCalls: deltas } : {}),
      ...(called ? { finishReason: "tool_calls" } : {}),
    };
  }

  private take(piece: string, deltas: ToolCallDelta[]): string {
    let text = "";
    let rest = piece;
    for (;;) {
      if (this.place === "text") {
        const { text: sure, found } = this.triggers.push(rest);
        text += sure;
        if (found === undefined) return text;
        [this.place, this.buffer, rest] = ["head", "", found];
      }
      if (this.place === "between") {
        const at = rest.indexOf("{");
        if (at < 0) return text;
        [this.place, this.buffer, rest] = ["head", "", rest.slice(at)];
      }
      if (this.place === "head") {
        this.buffer += rest;
        const match = this.head.exec(this.buffer);
        if (match) {
          rest = this.buffer.slice(match[0].length);
          this.begin(match[1] ?? '""', deltas);
        } else if (!mayBeHead(this.buffer)) {
          // The trigger itself is text now: it must not be found again.
          text += this.buffer;
          [this.place, this.buffer] = ["text", ""];
          return text;
        } else return text;
      }
      rest = this.takeArguments(rest, deltas);
      if (rest === "") return text;
    }
  }

  private begin(quotedName: string, deltas: ToolCallDelta[]): void {
    const name = JSON.parse(quotedName) as string;
    deltas.push({ index: this.calls++, id: `call_${randomUUID().replaceAll("-", "")}`, name, arguments: "" });
    this.place = "arguments";
    this.buffer = "";
    this.depth = 0;
  }

  /** Hands out arguments up to their end; returns what stands behind. */
  private takeArguments(text: string, deltas: ToolCallDelta[]): string {
    let end = 0;
    for (; end < text.length && (end === 0 || this.depth > 0); end++) this.step(text.charAt(end));
    if (end > 0) {
      const last = deltas.at(-1);
      const index = this.calls - 1;
      if (last?.index === index) last.arguments += text.slice(0, end);
      else deltas.push({ index, arguments: text.slice(0, end) });
      if (this.depth === 0) {
        this.place = "between";
        this.complete++;
      }
    }
    return text.slice(end);
  }

  private step(character: string): void {
    if (this.inString) {
      if (this.escaped) this.escaped = false;
      else if (character === "\\") this.escaped = true;
      else if (character === '"') this.inString = false;
    } else if (character === '"') this.inString = true;
    else if (character === "{" || character === "[") this.depth++;
    else if (character === "}" || character === "]") this.depth--;
  }

  /** What turned out to be text, at the end. */
  private flush(): string {
    if (this.place === "text") return this.triggers.flush();
    return this.place === "head" && this.calls === 0 ? this.buffer : "";
  }
}

/** Whether a call may still come: a tag, white space, an object. */
function mayBeHead(text: string): boolean {
  const inner = text.replace(/^<[^>{]*>?/, "").trimStart();
  return inner === "" || inner.startsWith("{");
}
