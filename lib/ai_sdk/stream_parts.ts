import type { LanguageModelV3StreamPart, SharedV3Warning } from "@ai-sdk/provider";
import type { BackendChunk, TokenLogprobs, ToolCall } from "../server/backend";
import { finishReasonOf, metadataOf, usageOf } from "./result";

const TEXT_ID = "0";

/** Chunks of a text as the parts of the AI SDK's stream. */
export class StreamParts {
  private readonly logprobs: TokenLogprobs[] = [];
  private readonly calls: ToolCall[] = [];
  private textIsOpen = false;

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
      yield { type: "error", error };
      yield { type: "finish", usage: usageOf(undefined), finishReason: { unified: "error", raw: undefined } };
    }
  }

  private *of(chunk: BackendChunk): Generator<LanguageModelV3StreamPart, void> {
    const { text, logprobs, toolCalls, finishReason, usage, timings } = chunk;
    for (const each of logprobs ?? []) this.logprobs.push(each);
    if (text !== "") {
      if (!this.textIsOpen) yield { type: "text-start", id: TEXT_ID };
      this.textIsOpen = true;
      yield { type: "text-delta", id: TEXT_ID, delta: text };
    }
    for (const { index, id = "", name = "", arguments: delta } of toolCalls ?? []) {
      if (!this.calls[index]) {
        this.calls[index] = { id, name, arguments: "" };
        yield { type: "tool-input-start", id, toolName: name };
      }
      const call = this.calls[index];
      call.arguments += delta;
      if (delta !== "") yield { type: "tool-input-delta", id: call.id, delta };
    }
    if (!finishReason) return;
    yield* this.endText();
    for (const { id, name, arguments: input } of this.calls) {
      yield { type: "tool-input-end", id };
      yield { type: "tool-call", toolCallId: id, toolName: name, input };
    }
    yield {
      type: "finish",
      usage: usageOf(usage),
      finishReason: finishReasonOf(finishReason),
      providerMetadata: metadataOf(timings, this.logprobs),
    };
  }

  private *endText(): Generator<LanguageModelV3StreamPart, void> {
    if (this.textIsOpen) yield { type: "text-end", id: TEXT_ID };
    this.textIsOpen = false;
  }
}
