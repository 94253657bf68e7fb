import { randomUUID } from "node:crypto";
import type { Usage } from "../generation";
import type { Backend, BackendChunk, TokenLogprobs, TokenScore, ToolCall } from "./backend";

/** A new identifier: "chatcmpl-..." for example. */
export function newId(prefix: string): string {
  return `${prefix}-${randomUUID().replaceAll("-", "")}`;
}

/** Now in Unix seconds. */
export function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** OpenAI's words for why a text ended. */
export function finishReason(reason: BackendChunk["finishReason"]): "stop" | "length" | "tool_calls" {
  if (reason === "tool_calls") return reason;
  return reason === "length" || reason === "context" ? "length" : "stop";
}

/** OpenAI's form of tokens counted. */
export function usageBody({ promptTokens, completionTokens, totalTokens, cachedTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: totalTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** Function calls in a message. */
export function toolCallBodies(calls: readonly ToolCall[]): object[] {
  return calls.map(({ id, name, arguments: text }) => ({ id, type: "function", function: { name, arguments: text } }));
}

/** Log-probabilities as chat completions have them: `logprobs.content`. */
export function chatLogprobs(tokenizer: Backend["tokenizer"], tokens: readonly TokenLogprobs[]): object {
  const score = ({ token, logprob }: TokenScore): object => {
    const bytes = tokenizer.tokenBytes(token);
    return { token: new TextDecoder().decode(bytes), logprob: finite(logprob), bytes: [...bytes] };
  };
  return { content: tokens.map((each) => ({ ...score(each), top_logprobs: each.top.map(score) })), refusal: null };
}

/** A token of an echoed prompt; of the first nothing is known. */
export type EchoedToken = TokenLogprobs | { token: number };

/**
 * Log-probabilities as completions have them.
 * @param offset characters of the text before the first of these tokens
 */
export function completionLogprobs(
  tokenizer: Backend["tokenizer"],
  tokens: readonly EchoedToken[],
  offset: number,
): { body: object; nextOffset: number } {
  const textOf = (token: number): string => new TextDecoder().decode(tokenizer.tokenBytes(token));
  const texts = tokens.map(({ token }) => textOf(token));
  const offsets: number[] = [];
  let nextOffset = offset;
  for (const [i, text] of texts.entries()) {
    offsets.push(nextOffset);
    // Control tokens are no part of the text.
    if (tokenizer.decode([tokens[i]?.token ?? 0]) !== "") nextOffset += text.length;
  }
  const body = {
    tokens: texts,
    token_logprobs: tokens.map((each) => ("logprob" in each ? finite(each.logprob) : null)),
    top_logprobs: tokens.map((each) =>
      "top" in each ? Object.fromEntries(each.top.map(({ token, logprob }) => [textOf(token), finite(logprob)])) : null,
    ),
    text_offset: offsets,
  };
  return { body, nextOffset };
}

/** JSON has no infinity; OpenAI gives this for what is very unlikely. */
function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}
