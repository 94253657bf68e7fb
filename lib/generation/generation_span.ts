import type { ModelInfo } from "../engine";
import type { ResolvedGenerationOptions } from "./options";
import { Span, type TraceAttributes } from "./tracing";
import type { Chunk } from "./types";

/** The name by which traces know a model. */
export function tracedModel({ name, path }: ModelInfo): TraceAttributes {
  return { "gen_ai.request.model": name ?? path };
}

/** Begins the span of a text; undefined where nobody listens. */
export function beginGenerationSpan(
  operation: string,
  info: ModelInfo,
  options: ResolvedGenerationOptions,
): Span | undefined {
  const attributes = (): TraceAttributes => {
    const { temperature, seed } = options.sampling;
    const isChat = operation === "chat" || operation.startsWith("chat.") || operation === "model.reply";
    return {
      "gen_ai.operation.name": isChat ? "chat" : "text_completion",
      ...tracedModel(info),
      "gen_ai.request.temperature": temperature,
      ...(Number.isFinite(options.maxTokens) ? { "gen_ai.request.max_tokens": options.maxTokens } : {}),
      ...(seed === undefined ? {} : { "gen_ai.request.seed": seed }),
    };
  };
  return Span.begin("generation", operation, attributes, (span) => span);
}

/** What a text's last chunk tells. */
export function resultAttributes({ usage, timings, finishReason }: Partial<Chunk>): TraceAttributes {
  return {
    ...(finishReason ? { "gen_ai.response.finish_reasons": [finishReason] } : {}),
    ...(usage
      ? {
          "gen_ai.usage.input_tokens": usage.promptTokens,
          "gen_ai.usage.output_tokens": usage.completionTokens,
          "gen_ai.usage.cache_read.input_tokens": usage.cachedTokens,
        }
      : {}),
    ...(timings ? { "gen_ai.server.time_to_first_token": timings.timeToFirstTokenMs / 1000 } : {}),
  };
}
