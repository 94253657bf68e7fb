import type { FastifyInstance } from "fastify";
import { toApiError } from "../api_error";
import type { Backend, BackendChunk } from "../backend";
import { checkFeatures, checkMessages, offeredTools, withoutTools } from "../features";
import { Job } from "../job";
import { checkConversation } from "../length";
import { readResponseRequest, type ResponseRequest } from "../responses_request";
import type { Service } from "../service";
import { sendEvents, type ServerEvent } from "../sse";
import { addChunk, collectTexts, emptyText, generateTexts, type TextEvent, type WholeText } from "../texts";
import { chatLogprobs, newId, unixSeconds } from "../wire";
import { logTexts, streamSettings } from "./common";

/** `POST /v1/responses`: text and function calls, streamed or whole. Nothing is stored. */
export function addResponses(app: FastifyInstance, service: Service): void {
  app.post("/v1/responses", (request, reply) =>
    Job.run(service, reply, async (job) => {
      const wanted = readResponseRequest(request.body);
      const { id: model, backend } = await job.enter(wanted.model, 1);
      checkFeatures(backend, wanted.options, { format: "text.format" });
      checkMessages(backend, wanted.messages, "input");
      const offered = offeredTools(backend, wanted.options);
      await checkConversation(backend, wanted.messages, offered);
      const prompt = await backend.encodeChat(wanted.messages, offered);
      const options = offered ? wanted.options : withoutTools(wanted.options);
      logTexts(service, request.log, { messages: wanted.messages });
      const texts = { model, backend, prompts: [prompt], n: 1, options, signal: job.signal };
      const events = generateTexts(texts, service.metrics);
      const response = new ResponseBody(wanted, model, backend);
      if (wanted.stream) {
        const settings = {
          ...streamSettings(service, request.log),
          errorEvent: (error: unknown) => response.failed(error),
        };
        await sendEvents(reply, streamed(response, events), settings);
        return reply;
      }
      const [whole] = await collectTexts(events, 1);
      return response.finished(whole ?? emptyText());
    }),
  );
}

/** Makes the response object and the events about it, which are numbered. */
class ResponseBody {
  readonly messageId = newId("msg");
  private readonly id = newId("resp");
  private readonly created = unixSeconds();
  private readonly callIds: string[] = [];
  private sequence = 0;

  constructor(
    private readonly request: ResponseRequest,
    private readonly model: string,
    private readonly backend: Backend,
  ) {}

  event(type: string, data: object): ServerEvent {
    return { event: type, data: { type, sequence_number: this.sequence++, ...data } };
  }

  begun(): object {
    return this.body("in_progress", [], {});
  }

  finished(text: WholeText): object {
    const { usage, finishReason } = text;
    const cut = finishReason === "length" || finishReason === "context";
    return this.body(cut ? "incomplete" : "completed", this.output(text, cut), {
      incomplete_details: cut ? { reason: "max_output_tokens" } : null,
      usage: usage
        ? {
            input_tokens: usage.promptTokens,
            input_tokens_details: { cached_tokens: usage.cachedTokens },
            output_tokens: usage.completionTokens,
            output_tokens_details: { reasoning_tokens: 0 },
            total_tokens: usage.totalTokens,
          }
        : null,
    });
  }

  failed(error: unknown): ServerEvent {
    const { message, code } = toApiError(error);
    const response = this.body("failed", [], { error: { code: code ?? "server_error", message } });
    return this.event("response.failed", { response });
  }

  message(text: WholeText | undefined, status: string): object {
    const content = text ? [this.part(text)] : [];
    return { id: this.messageId, type: "message", status, role: "assistant", content };
  }

  part({ text, logprobs }: WholeText): object {
    return { type: "output_text", text, annotations: [], logprobs: this.logprobs(logprobs) };
  }

  logprobs(tokens: WholeText["logprobs"]): unknown {
    return (chatLogprobs(this.backend.tokenizer, tokens) as { content: unknown }).content;
  }

  call(index: number, { id, name, arguments: text }: WholeText["toolCalls"][number], status: string): object {
    return { id: this.callId(index), type: "function_call", status, call_id: id, name, arguments: text };
  }

  callId(index: number): string {
    return (this.callIds[index] ??= newId("fc"));
  }

  private output(text: WholeText, cut: boolean): object[] {
    const status = cut ? "incomplete" : "completed";
    const calls = text.toolCalls.map((call, i) => this.call(i, call, status));
    return text.text === "" && calls.length > 0 ? calls : [this.message(text, status), ...calls];
  }

  private body(status: string, output: object[], rest: object): object {
    return {
      id: this.id,
      object: "response",
      created_at: this.created,
      status,
      background: false,
      error: null,
      incomplete_details: null,
      model: this.model,
      output,
      previous_response_id: null,
      reasoning: { effort: null, summary: null },
      store: false,
      truncation: "disabled",
      usage: null,
      ...this.request.echo,
      ...rest,
    };
  }
}

/** The events of a response: its beginning, its items as they grow, its end. */
async function* streamed(
  response: ResponseBody,
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<ServerEvent, undefined> {
  const whole = emptyText();
  const items = new ItemEvents(response, whole);
  let begun = false;
  for await (const { chunk } of events) {
    if (!begun) {
      begun = true;
      yield response.event("response.created", { response: response.begun() });
      yield response.event("response.in_progress", { response: response.begun() });
    }
    addChunk(whole, chunk);
    yield* items.of(chunk);
  }
  yield* items.end();
  const incomplete = whole.finishReason === "length" || whole.finishReason === "context";
  yield response.event(incomplete ? "response.incomplete" : "response.completed", {
    response: response.finished(whole),
  });
}

/** Events about the message and the function calls of a response. */
class ItemEvents {
  private messageIndex: number | undefined;
  private readonly callIndexes: number[] = [];
  private items = 0;

  constructor(
    private readonly response: ResponseBody,
    private readonly whole: WholeText,
  ) {}

  *of({ text, logprobs, toolCalls }: BackendChunk): Generator<ServerEvent, void> {
    const { response, whole } = this;
    if (text !== "" || (logprobs && logprobs.length > 0)) {
      yield* this.openMessage();
      yield response.event("response.output_text.delta", {
        ...this.messagePart(),
        delta: text,
        logprobs: response.logprobs([...(logprobs ?? [])]),
      });
    }
    for (const { index, arguments: delta } of toolCalls ?? []) {
      const call = whole.toolCalls[index];
      if (call && this.callIndexes[index] === undefined) {
        this.callIndexes[index] = this.items++;
        yield response.event("response.output_item.added", {
          output_index: this.callIndexes[index],
          item: response.call(index, { ...call, arguments: "" }, "in_progress"),
        });
      }
      yield response.event("response.function_call_arguments.delta", {
        item_id: response.callId(index),
        output_index: this.callIndexes[index],
        delta,
      });
    }
  }

  *end(): Generator<ServerEvent, void> {
    const { response, whole } = this;
    if (whole.toolCalls.length === 0) yield* this.openMessage();
    const { finishReason } = whole;
    const status = finishReason === "length" || finishReason === "context" ? "incomplete" : "completed";
    if (this.messageIndex !== undefined) {
      const place = this.messagePart();
      const logprobs = response.logprobs(whole.logprobs);
      yield response.event("response.output_text.done", { ...place, text: whole.text, logprobs });
      yield response.event("response.content_part.done", { ...place, part: response.part(whole) });
      yield response.event("response.output_item.done", {
        output_index: this.messageIndex,
        item: response.message(whole, status),
      });
    }
    for (const [index, call] of whole.toolCalls.entries()) {
      const output_index = this.callIndexes[index];
      const item_id = response.callId(index);
      const { name, arguments: text } = call;
      yield response.event("response.function_call_arguments.done", { item_id, output_index, name, arguments: text });
      yield response.event("response.output_item.done", { output_index, item: response.call(index, call, status) });
    }
  }

  private *openMessage(): Generator<ServerEvent, void> {
    if (this.messageIndex !== undefined) return;
    this.messageIndex = this.items++;
    const { response } = this;
    yield response.event("response.output_item.added", {
      output_index: this.messageIndex,
      item: response.message(undefined, "in_progress"),
    });
    yield response.event("response.content_part.added", { ...this.messagePart(), part: response.part(emptyText()) });
  }

  private messagePart(): object {
    return { item_id: this.response.messageId, output_index: this.messageIndex, content_index: 0 };
  }
}
