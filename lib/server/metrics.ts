import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Usage } from "../generation";
import type { Gate } from "./gate";
import type { ModelRegistry } from "./registry";

const FIRST_TOKEN_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BETWEEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const REQUEST_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];

/** What Prometheus reads from a server. Every server has a registry of its own. */
export class Metrics {
  readonly registry = new Registry();
  readonly requests: Counter<"route" | "method" | "status">;
  readonly requestSeconds: Histogram<"route">;
  readonly aborted: Counter;
  private readonly queueSeconds: Histogram;
  private readonly promptTokens: Counter<"model">;
  private readonly cachedTokens: Counter<"model">;
  private readonly completionTokens: Counter<"model">;
  private readonly firstToken: Histogram<"model">;
  private readonly betweenTokens: Histogram<"model">;

  constructor(gate: Gate, models: ModelRegistry) {
    const registers = [this.registry];
    const byModel = { registers, labelNames: ["model"] as const };
    this.requests = new Counter({
      name: "bitnet_http_requests_total",
      help: "HTTP requests answered",
      labelNames: ["route", "method", "status"],
      registers,
    });
    this.requestSeconds = new Histogram({
      name: "bitnet_http_request_duration_seconds",
      help: "From the request's head to the end of the answer",
      labelNames: ["route"],
      buckets: REQUEST_SECONDS,
      registers,
    });
    this.aborted = new Counter({
      name: "bitnet_aborted_requests_total",
      help: "Generations that ended because the client left",
      registers,
    });
    this.queueSeconds = new Histogram({
      name: "bitnet_queue_seconds",
      help: "From a request's arrival to its turn",
      buckets: FIRST_TOKEN_SECONDS,
      registers,
    });
    this.promptTokens = new Counter({ name: "bitnet_prompt_tokens_total", help: "Prompt tokens taken in", ...byModel });
    this.cachedTokens = new Counter({
      name: "bitnet_prompt_tokens_cached_total",
      help: "Prompt tokens found in the KV cache (prefix hits)",
      ...byModel,
    });
    this.completionTokens = new Counter({
      name: "bitnet_completion_tokens_total",
      help: "Tokens generated",
      ...byModel,
    });
    this.firstToken = new Histogram({
      name: "bitnet_time_to_first_token_seconds",
      help: "From the request's turn to its first token",
      buckets: FIRST_TOKEN_SECONDS,
      ...byModel,
    });
    this.betweenTokens = new Histogram({
      name: "bitnet_time_between_tokens_seconds",
      help: "Between two tokens of one text",
      buckets: BETWEEN_SECONDS,
      ...byModel,
    });
    this.addGauges(gate, models);
    collectDefaultMetrics({ register: this.registry });
  }

  /** Notes how long a request waited for its turn. */
  entered(seconds: number): void {
    this.queueSeconds.observe(seconds);
  }

  /** Notes the time from the start of a text to its first token. */
  first(model: string, seconds: number): void {
    this.firstToken.observe({ model }, seconds);
  }

  /** Notes `tokens` that came `seconds` after the ones before. */
  next(model: string, tokens: number, seconds: number): void {
    for (let i = 0; i < tokens; i++) this.betweenTokens.observe({ model }, seconds / tokens);
  }

  /** Counts tokens as they come, so that texts which are stopped count too. */
  generated(model: string, tokens: number): void {
    this.completionTokens.inc({ model }, tokens);
  }

  /** Counts the prompt of a text. */
  prompt(model: string, { promptTokens, cachedTokens }: Pick<Usage, "promptTokens" | "cachedTokens">): void {
    this.promptTokens.inc({ model }, promptTokens);
    this.cachedTokens.inc({ model }, cachedTokens);
  }

  private addGauges(gate: Gate, models: ModelRegistry): void {
    this.gauge("bitnet_running_texts", "Texts that are being generated", [], (set) => set({}, gate.running));
    this.gauge("bitnet_queue_length", "Requests that wait for their turn", [], (set) => set({}, gate.queued));
    this.gauge("bitnet_model_loaded", "1 when the model is loaded", ["model"], (set) => {
      for (const { id, state } of models.list()) set({ model: id }, state === "loaded" ? 1 : 0);
    });
    this.gauge("bitnet_model_memory_bytes", "Weights, KV cache, intermediate results", ["model"], (set) => {
      for (const { id, backend } of models.list()) set({ model: id }, backend?.memoryBytes ?? 0);
    });
    this.gauge("bitnet_kv_blocks", "Blocks of the KV cache", ["model", "state"], (set) => {
      for (const { id, backend } of models.list()) {
        const stats = backend?.stats?.();
        if (!stats) continue;
        const { kvBlocksUsed: used, kvBlocksCached: cached = 0, kvBlocksTotal: total } = stats;
        set({ model: id, state: "used" }, used);
        set({ model: id, state: "cached" }, cached);
        set({ model: id, state: "free" }, total - used - cached);
      }
    });
  }

  /** A value that is read when Prometheus asks. */
  private gauge<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: (set: (labels: Partial<Record<L, string>>, value: number) => void) => void,
  ): void {
    const gauge = new Gauge<L>({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => {
        gauge.reset();
        read((labels, value) => gauge.set(labels, value));
      },
    });
  }
}
