import type { LanguageModelV3StreamPart, SharedV3Warning } from "@ai-sdk/provider";
import { isWholeCall } from "../generation";
import type { BackendChunk, TokenLogprobs, ToolCall } from "../server/backend";
import { finishReasonOf, metadataOf, toolCallPart, usageOf } from "./result";

/** Chunks of a text as the parts of the AI SDK's stream. */
export class StreamParts {
  private readonly logprobs: TokenLogprobs[] = [];
  /** Of the piece of text that is being written; calls may stand between pieces. */
  private textId: string | undefined;
  private texts = 0;
  /** The call that is being written: each is written to its end before the next. */
  private call: ToolCall | undefined;
  private callIndex = -1;

  constructor(
    private readonly chunks: AsyncIterableIterator<BackendChunk, undefined>,
    private readonly modelId: string,
    private readonly warnings: readonly SharedV3Warning[],
    private readonly includeRaw: boolean,
  ) {}

  /** Work begins when it is read, waits while the reader is behind, and ends when it is cancelled. */
  readable(): ReadableStream<LanguageModelV3StreamPart> {
    const parts = this.parts();
    return new ReadableStream<LanguageModelV3StreamPart>(
      {
        async pull(controller) {
          const { done, value } = await parts.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: async () => {
          // The generator may wait for a chunk, which would hold its `return` up.
          await this.chunks.return?.();
          await parts.return(undefined);
        },
      },
      { highWaterMark: 0 },
    );
  }

  private async *parts(): AsyncGenerator<LanguageModelV3StreamPart, undefined> {
    yield { type: "stream-start", warnings: [...this.warnings] };
    yield { type: "response-metadata", modelId: this.modelId, timestamp: new Date() };
    try {
      for await (const chunk of this.chunks) {
        if (this.includeRaw) yield { type: "raw", rawValue: chunk };
        yield* this.of(chunk);
      }
    } catch (error) {
      yield* this.endText();
      if (this.call) yield { type: "tool-input-end", id: this.call.id };
      yield { type: "error", error };
      yield { type: "finish", usage: usageOf(undefined), finishReason: { unified: "error", raw: undefined } };
    }
  }

  private *of(chunk: BackendChunk): Generator<LanguageModelV3StreamPart, void> {
    const { text, logprobs, toolCalls, finishReason, usage, timings } = chunk;
    for (const each of logprobs ?? []) this.logprobs.push(each);
    if (text !== "") {
      yield* this.endCall();
      if (this.textId === undefined) {
        this.textId = String(this.texts++);
        yield { type: "text-start", id: this.textId };
      }
      yield { type: "text-delta", id: this.textId, delta: text };
    }
    for (const { index, id = "", name = "", arguments: delta } of toolCalls ?? []) {
      if (index !== this.callIndex) {
        yield* this.endText();
        yield* this.endCall();
        this.callIndex = index;
        this.call = { id, name, arguments: "" };
        yield { type: "tool-input-start", id, toolName: name };
      }
      if (!this.call || delta === "") continue;
      this.call.arguments += delta;
      yield { type: "tool-input-delta", id: this.call.id, delta };
      if (delta.includes("}") && isWholeCall(this.call)) yield* this.endCall();
    }
    if (!finishReason) return;
    yield* this.endText();
    yield* this.endCall();
    yield {
      type: "finish",
      usage: usageOf(usage),
      finishReason: finishReasonOf(finishReason),
      providerMetadata: metadataOf(timings, this.logprobs),
    };
  }

  /** A call that was cut off is none. */
  private *endCall(): Generator<LanguageModelV3StreamPart, void> {
    const { call } = this;
    if (!call) return;
    this.call = undefined;
    yield { type: "tool-input-end", id: call.id };
    if (isWholeCall(call)) yield toolCallPart(call);
  }

  private *endText(): Generator<LanguageModelV3StreamPart, void> {
    if (this.textId !== undefined) yield { type: "text-end", id: this.textId };
    this.textId = undefined;
  }
}
