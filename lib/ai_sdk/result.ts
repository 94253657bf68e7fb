import type {
  LanguageModelV3FinishReason,
  LanguageModelV3ToolCall,
  LanguageModelV3Usage,
  SharedV3ProviderMetadata,
} from "@ai-sdk/provider";
import type { Timings, Usage } from "../generation";
import type { BackendChunk, TokenLogprobs, ToolCall } from "../server/backend";

type Reason = NonNullable<BackendChunk["finishReason"]>;

const REASONS: Readonly<Record<Reason, LanguageModelV3FinishReason["unified"]>> = {
  stop: "stop",
  stop_string: "stop",
  length: "length",
  context: "length",
  tool_calls: "tool-calls",
};

/** Why a text ended, in the AI SDK's words and in this package's. */
export function finishReasonOf(reason: BackendChunk["finishReason"]): LanguageModelV3FinishReason {
  return { unified: reason ? REASONS[reason] : "other", raw: reason };
}

/** A call of a function, in the AI SDK's form. */
export function toolCallPart({ id, name, arguments: input }: ToolCall): LanguageModelV3ToolCall {
  return { type: "tool-call", toolCallId: id, toolName: name, input };
}

/** Tokens counted, in the AI SDK's form. */
export function usageOf(usage: Usage | undefined): LanguageModelV3Usage {
  const { promptTokens: total, cachedTokens: cacheRead, completionTokens: output } = usage ?? {};
  const noCache = total === undefined || cacheRead === undefined ? undefined : total - cacheRead;
  return {
    inputTokens: { total, noCache, cacheRead, cacheWrite: undefined },
    outputTokens: { total: output, text: output, reasoning: usage ? 0 : undefined },
  };
}

/** `providerMetadata.bitnet`: the timings, and log-probabilities where they were asked for. */
export function metadataOf(timings: Timings | undefined, logprobs: readonly TokenLogprobs[]): SharedV3ProviderMetadata {
  return {
    bitnet: {
      ...(timings ? { timings: { ...timings } } : {}),
      ...(logprobs.length > 0 ? { logprobs: logprobs.map(jsonOf) } : {}),
    },
  };
}

/** -Infinity, of tokens that a sampler left out, becomes null: providers' metadata is JSON. */
function jsonOf(logprobs: TokenLogprobs): SharedV3ProviderMetadata[string] {
  return JSON.parse(JSON.stringify(logprobs)) as SharedV3ProviderMetadata[string];
}
