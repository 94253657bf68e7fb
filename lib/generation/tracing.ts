import { channel, type Channel } from "node:diagnostics_channel";

/** What a span says, by OpenTelemetry's conventions for generative AI ("gen_ai.…") as far as these go. */
export type TraceAttributes = Readonly<Record<string, string | number | readonly string[]>>;

/**
 * The message of the channels `tracing:node-bitnet.AREA:EVENT`, one object from the beginning to the end of a piece of
 * work: `start` and `end` when it is begun, `asyncStart` and `asyncEnd` when it is over, however it ended, and `error`
 * before these when it failed. `tracingChannel("node-bitnet.AREA")` of `node:diagnostics_channel` subscribes to all.
 *
 * Areas: "generation" (a text, from its first read on), "embedding" (`model.embed`), "score" (`model.score` and
 * `model.evaluate`), "tool" (a function that a chat session calls).
 */
export interface Trace {
  /** What was called: "model.stream" for example. */
  readonly operation: string;
  /** At `asyncEnd` those of the result too. */
  attributes: TraceAttributes;
  /** What failed it. */
  error?: Error;
}

const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;
type Channels = Readonly<Record<(typeof EVENTS)[number], Channel>>;

/** The channels of one area. */
function channelsOf(area: string): Channels {
  const entries = EVENTS.map((event) => [event, channel(`tracing:node-bitnet.${area}:${event}`)]);
  return Object.fromEntries(entries) as Channels;
}

const areas = {
  generation: channelsOf("generation"),
  embedding: channelsOf("embedding"),
  score: channelsOf("score"),
  tool: channelsOf("tool"),
};

/** A piece of work that subscribers are told of. */
export class Span {
  private constructor(
    private readonly channels: Channels,
    private readonly trace: Trace,
  ) {}

  /** Begins one and calls `first` within it; the span is undefined, and nothing is told, where nobody listens. */
  static begin<T>(
    area: keyof typeof areas,
    operation: string,
    attributes: () => TraceAttributes,
    first: (span: Span | undefined) => T,
  ): T {
    const channels = areas[area];
    if (!EVENTS.some((event) => channels[event].hasSubscribers)) return first(undefined);
    const trace: Trace = { operation, attributes: { ...attributes(), "gen_ai.provider.name": "node-bitnet" } };
    const span = new Span(channels, trace);
    // Stores that are bound to the channel (AsyncLocalStorage) hold for the work.
    return channels.start.runStores(trace, () => {
      try {
        return first(span);
      } finally {
        channels.end.publish(trace);
      }
    });
  }

  /** Tells that it is over. */
  end(attributes: TraceAttributes, error?: Error): void {
    const { trace, channels } = this;
    trace.attributes = { ...trace.attributes, ...attributes };
    if (error) {
      trace.error = error;
      trace.attributes = { ...trace.attributes, "error.type": (error as { code?: string }).code ?? error.name };
      channels.error.publish(trace);
    }
    channels.asyncStart.publish(trace);
    channels.asyncEnd.publish(trace);
  }
}

/**
 * Does work within a span.
 * @param work gets a function that adds attributes of the result
 */
export function traced<T>(
  area: keyof typeof areas,
  operation: string,
  attributes: () => TraceAttributes,
  work: (add: (attributes: TraceAttributes) => void) => Promise<T>,
): Promise<T> {
  return Span.begin(area, operation, attributes, async (span) => {
    let added: TraceAttributes = {};
    try {
      const result = await work((more) => (added = { ...added, ...more }));
      span?.end(added);
      return result;
    } catch (error) {
      span?.end(added, error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  });
}
