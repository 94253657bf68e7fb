import { channel } from "node:diagnostics_channel";
import type { ModelInfo } from "../engine";
import type { ResolvedGenerationOptions } from "./options";
import type { Chunk } from "./types";

/** What a span says of a text, by OpenTelemetry's conventions for generative AI ("gen_ai.…"). */
export type TraceAttributes = Readonly<Record<string, string | number | readonly string[]>>;

/**
 * The message of the channels "tracing:node-bitnet.generation:…", one object from a text's first read to its end:
 * `start` and `end` when it is begun, `asyncStart` and `asyncEnd` when it is over, however it ended, and `error` before these
 * when it failed. `tracingChannel("node-bitnet.generation")` of `node:diagnostics_channel` subscribes to all.
 */
export interface GenerationTrace {
  /** What was called: "model.stream" for example. */
  readonly operation: string;
  /** At `asyncEnd` those of the result too. */
  attributes: TraceAttributes;
  /** What failed it. */
  error?: Error;
}

const name = (event: string): string => `tracing:node-bitnet.generation:${event}`;
const [start, end, asyncStart, asyncEnd, failed] = [
  channel(name("start")),
  channel(name("end")),
  channel(name("asyncStart")),
  channel(name("asyncEnd")),
  channel(name("error")),
];

/** Tells subscribers of the beginning and the end of a text; costs nothing without any. */
export class GenerationSpan {
  private constructor(private readonly trace: GenerationTrace) {}

  /** Undefined where nobody listens. */
  static begin(operation: string, info: ModelInfo, options: ResolvedGenerationOptions): GenerationSpan | undefined {
    if (![start, end, asyncStart, asyncEnd, failed].some(({ hasSubscribers }) => hasSubscribers)) return undefined;
    const { temperature, seed } = options.sampling;
    const attributes = {
      "gen_ai.operation.name":
        operation.startsWith("chat.") || operation === "model.reply" ? "chat" : "text_completion",
      "gen_ai.provider.name": "node-bitnet",
      "gen_ai.request.model": info.name ?? info.path,
      "gen_ai.request.temperature": temperature,
      ...(Number.isFinite(options.maxTokens) ? { "gen_ai.request.max_tokens": options.maxTokens } : {}),
      ...(seed === undefined ? {} : { "gen_ai.request.seed": seed }),
    };
    const span = new GenerationSpan({ operation, attributes });
    start.publish(span.trace);
    end.publish(span.trace);
    return span;
  }

  /** @param last the last chunk, where the text was read to its end */
  end({ last, error }: { last?: Chunk; error?: Error }): void {
    const { trace } = this;
    const { usage, timings, finishReason } = last ?? {};
    trace.attributes = {
      ...trace.attributes,
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
    if (error) {
      trace.error = error;
      trace.attributes = { ...trace.attributes, "error.type": (error as { code?: string }).code ?? error.name };
      failed.publish(trace);
    }
    asyncStart.publish(trace);
    asyncEnd.publish(trace);
  }
}
