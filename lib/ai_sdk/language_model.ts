import {
  UnsupportedFunctionalityError,
  type LanguageModelV3,
  type LanguageModelV3Content,
  type LanguageModelV3GenerateResult,
  type LanguageModelV3StreamResult,
  type SharedV3Warning,
} from "@ai-sdk/provider";
import { isWholeCall } from "../generation";
import type { Backend, BackendChunk } from "../server/backend";
import { addChunk, emptyText } from "../server/texts";
import type { LanguageModelCall } from "./call";
import { messagesOf } from "./prompt";
import { finishReasonOf, metadataOf, toolCallPart, usageOf } from "./result";
import { generationOptions, type BitnetModelOptions } from "./settings";
import { StreamParts } from "./stream_parts";
import { toolOptions } from "./tools";

/** A text under way, and what of the call could not be followed. */
interface Begun {
  chunks: AsyncIterableIterator<BackendChunk, undefined>;
  warnings: SharedV3Warning[];
}

/**
 * A model of this package as the AI SDK's language model (specification 3, which its versions 6 and 7 take). Calls are
 * batched with all others of the model.
 */
export class BitnetLanguageModel implements LanguageModelV3 {
  readonly specificationVersion = "v3";
  readonly provider = "node-bitnet";
  /** Files are never read from anywhere. */
  readonly supportedUrls = {};

  /** Made by `bitnet`. */
  constructor(
    readonly modelId: string,
    private readonly backend: Backend,
    private readonly defaults: BitnetModelOptions,
  ) {}

  /** The whole answer. Rejects as `model.generate` does, and with `UnsupportedFunctionalityError`. */
  async doGenerate(call: LanguageModelCall): Promise<LanguageModelV3GenerateResult> {
    const { chunks, warnings } = await this.begin(call);
    const whole = emptyText();
    let timings: BackendChunk["timings"];
    for await (const chunk of chunks) {
      addChunk(whole, chunk);
      timings = chunk.timings;
    }
    const { text, toolCalls, logprobs, finishReason, usage } = whole;
    const content: LanguageModelV3Content[] = text === "" ? [] : [{ type: "text", text }];
    content.push(...toolCalls.filter(isWholeCall).map(toolCallPart));
    return {
      content,
      finishReason: finishReasonOf(finishReason),
      usage: usageOf(usage),
      providerMetadata: metadataOf(timings, logprobs),
      response: { modelId: this.modelId, timestamp: new Date() },
      warnings,
    };
  }

  /** The answer piece by piece. Cancelling the stream stops the work. */
  async doStream(call: LanguageModelCall): Promise<LanguageModelV3StreamResult> {
    const { chunks, warnings } = await this.begin(call);
    return { stream: new StreamParts(chunks, this.modelId, warnings, call.includeRawChunks ?? false).readable() };
  }

  private async begin(call: LanguageModelCall): Promise<Begun> {
    const { backend } = this;
    const warnings: SharedV3Warning[] = [];
    const options = generationOptions(call, this.defaults, warnings);
    const tools = toolOptions(call, warnings);
    if (tools.tools && !backend.features.has("tools")) throw noTools(this.modelId);
    const chat = await backend.encodeChat(messagesOf(call.prompt), tools.tools);
    const { stop = [] } = options;
    const chunks = backend.stream(chat.tokens, {
      ...options,
      ...tools,
      stop: [...(typeof stop === "string" ? [stop] : stop), ...chat.stop],
      stopTokens: [...(options.stopTokens ?? []), ...chat.stopTokens],
    });
    return { chunks, warnings };
  }
}

function noTools(model: string): UnsupportedFunctionalityError {
  return new UnsupportedFunctionalityError({
    functionality: "tools",
    message: `The model "${model}" has no form for function calls.`,
  });
}
