import { StateError } from "../errors";
import type { ToolCall } from "../generation";
import { checkMessages, type Message } from "./template";

/** What a session is, beside its place in the KV cache. */
export interface SessionState {
  messages: readonly Message[];
  forgotten: number;
  openCalls: readonly ToolCall[];
  /** As the caller gave it: a name or source; undefined for the model's own. */
  template: string | undefined;
}

/** A session as JSON. */
export function writeSession({ messages, forgotten, openCalls, template }: SessionState): unknown {
  return { kind: "chat", template: template ?? null, messages, forgotten, openCalls };
}

/** @throws StateError for what is no session */
export function readSession(path: string, content: unknown): SessionState {
  const { kind, template, messages, forgotten, openCalls } = (content ?? {}) as Record<string, unknown>;
  const { length } = checkedMessages(path, messages);
  const counted = Number.isSafeInteger(forgotten) && (forgotten as number) >= 0 && (forgotten as number) <= length;
  const calls = Array.isArray(openCalls) && openCalls.every(isToolCall);
  if (kind !== "chat" || (typeof template !== "string" && template !== null) || !counted || !calls) {
    throw noConversation(path);
  }
  return {
    template: template ?? undefined,
    messages: messages as Message[],
    forgotten: forgotten as number,
    openCalls,
  };
}

function checkedMessages(path: string, messages: unknown): readonly unknown[] {
  try {
    return checkMessages(messages as Message[]);
  } catch (cause) {
    throw noConversation(path, { cause });
  }
}

function isToolCall(value: unknown): value is ToolCall {
  const { id, name, arguments: text } = (value ?? {}) as Partial<ToolCall>;
  return [id, name, text].every((each) => typeof each === "string");
}

function noConversation(path: string, options?: ErrorOptions): StateError {
  return new StateError(`"${path}" is no saved conversation.`, options);
}
