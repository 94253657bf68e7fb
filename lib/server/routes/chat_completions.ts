import type { FastifyInstance } from "fastify";
import type { Backend } from "../backend";
import { readChatRequest, type ChatRequest } from "../chat_request";
import { checkFeatures, checkMessages, offeredTools, withoutTools } from "../features";
import { Job } from "../job";
import { checkConversation } from "../length";
import type { Service } from "../service";
import { sendEvents, type ServerEvent } from "../sse";
import { collectTexts, generateTexts, totalUsage, type TextEvent, type TextsRequest } from "../texts";
import { chatLogprobs, finishReason, newId, toolCallBodies, unixSeconds, usageBody } from "../wire";
import { logTexts, streamSettings } from "./common";

/** `POST /v1/chat/completions` */
export function addChatCompletions(app: FastifyInstance, service: Service): void {
  app.post("/v1/chat/completions", (request, reply) =>
    Job.run(service, reply, async (job) => {
      const chat = readChatRequest(request.body);
      const { id: model, backend } = await job.enter(chat.model, chat.n);
      const texts = await prepare(chat, model, backend, job.signal);
      logTexts(service, request.log, { messages: chat.messages });
      const events = generateTexts(texts, service.metrics);
      const id = newId("chatcmpl");
      if (chat.stream) {
        await sendEvents(reply, streamed(id, chat, texts, events), streamSettings(service, request.log));
        return reply;
      }
      return whole(id, texts, events);
    }),
  );
}

async function prepare(chat: ChatRequest, model: string, backend: Backend, signal: AbortSignal): Promise<TextsRequest> {
  const { messages, n, options } = chat;
  checkFeatures(backend, options, { format: "response_format" });
  checkMessages(backend, messages, "messages");
  const offered = offeredTools(backend, options);
  await checkConversation(backend, messages, offered);
  const prompt = await backend.encodeChat(messages, offered);
  return { model, backend, prompts: [prompt], n, options: offered ? options : withoutTools(options), signal };
}

async function whole(
  id: string,
  { model, backend, n }: TextsRequest,
  events: AsyncIterable<TextEvent>,
): Promise<object> {
  const texts = await collectTexts(events, n);
  return {
    id,
    object: "chat.completion",
    created: unixSeconds(),
    model,
    choices: texts.map(({ text, toolCalls, logprobs, finishReason: reason }, index) => ({
      index,
      message: {
        role: "assistant",
        content: toolCalls.length > 0 && text === "" ? null : text,
        refusal: null,
        ...(toolCalls.length > 0 ? { tool_calls: toolCallBodies(toolCalls) } : {}),
      },
      logprobs: logprobs.length > 0 ? chatLogprobs(backend.tokenizer, logprobs) : null,
      finish_reason: finishReason(reason),
    })),
    usage: usageBody(
      totalUsage(
        texts.map(({ usage }) => usage),
        n,
      ),
    ),
    system_fingerprint: null,
  };
}

async function* streamed(
  id: string,
  { includeUsage }: ChatRequest,
  { model, backend, n }: TextsRequest,
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<ServerEvent, undefined> {
  const head = { id, object: "chat.completion.chunk", created: unixSeconds(), model, system_fingerprint: null };
  const chunk = (choice: object): ServerEvent => ({
    data: { ...head, choices: [choice], ...(includeUsage ? { usage: null } : {}) },
  });
  const begun = new Set<number>();
  const usages = Array.from({ length: n }, () => undefined as TextEvent["chunk"]["usage"]);
  for await (const { index, chunk: piece } of events) {
    if (!begun.has(index)) {
      begun.add(index);
      const delta = { role: "assistant", content: "", refusal: null };
      yield chunk({ index, delta, logprobs: null, finish_reason: null });
    }
    const { text, toolCalls, logprobs } = piece;
    if (text !== "" || toolCalls || (logprobs && logprobs.length > 0)) {
      const delta = {
        ...(text === "" && toolCalls ? {} : { content: text }),
        ...(toolCalls ? { tool_calls: toolCalls.map(toolCallDelta) } : {}),
      };
      const scores = logprobs && logprobs.length > 0 ? chatLogprobs(backend.tokenizer, logprobs) : null;
      yield chunk({ index, delta, logprobs: scores, finish_reason: null });
    }
    if (piece.usage) usages[index] = piece.usage;
    if (piece.finishReason) {
      yield chunk({ index, delta: {}, logprobs: null, finish_reason: finishReason(piece.finishReason) });
    }
  }
  if (includeUsage) yield { data: { ...head, choices: [], usage: usageBody(totalUsage(usages, n)) } };
  yield { data: "[DONE]" };
}

function toolCallDelta(delta: NonNullable<TextEvent["chunk"]["toolCalls"]>[number]): object {
  const { index, id, name, arguments: text } = delta;
  return {
    index,
    ...(id === undefined ? {} : { id, type: "function" }),
    function: { ...(name === undefined ? {} : { name }), arguments: text },
  };
}
