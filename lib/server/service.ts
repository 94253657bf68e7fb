import type { FastifyBaseLogger } from "fastify";
import { shuttingDown } from "./api_error";
import { Authenticator } from "./auth";
import { Gate } from "./gate";
import type { Job } from "./job";
import { Metrics } from "./metrics";
import type { ResolvedServiceOptions } from "./options";
import { RateLimiter } from "./rate_limit";
import { ModelRegistry } from "./registry";

/** Everything that the routes of one server share. */
export class Service {
  readonly models: ModelRegistry;
  readonly gate: Gate;
  readonly auth: Authenticator;
  readonly limiter: RateLimiter | undefined;
  readonly metrics: Metrics;
  /** Requests that generate. */
  readonly jobs = new Set<Job>();
  /** No more work is taken; what was begun goes on. */
  draining = false;
  private waitingForEnd: (() => void)[] = [];

  constructor(
    readonly options: ResolvedServiceOptions,
    log: FastifyBaseLogger,
  ) {
    const { maxConcurrent, maxQueue, queueTimeout, rateLimit } = options;
    // An engine that computes fewer at a time would make those that have entered wait once more.
    const configs = options.models.map((config) => ({ maxConcurrent, ...config }));
    this.models = new ModelRegistry(configs, options.idleUnload, {
      loaded: (model, milliseconds) => log.info({ model, milliseconds: Math.round(milliseconds) }, "model loaded"),
      unloaded: (model) => log.info({ model }, "model unloaded"),
      failed: (model, error) => log.error({ model, err: error }, "model could not be loaded"),
    });
    this.gate = new Gate({ maxConcurrent, maxQueue, queueTimeoutMs: queueTimeout });
    this.auth = new Authenticator(options.apiKeys);
    this.limiter = rateLimit > 0 ? new RateLimiter(rateLimit) : undefined;
    this.metrics = new Metrics(this.gate, this.models);
  }

  /**
   * Takes no more work and waits until what was begun is finished; after `timeout` milliseconds the rest is stopped.
   * Resolves to the number of jobs that had to be stopped.
   */
  async drain(timeout: number): Promise<number> {
    this.draining = true;
    if (this.jobs.size === 0) return 0;
    let stopped = 0;
    const timer = setTimeout(() => {
      stopped = this.jobs.size;
      for (const job of this.jobs) job.stop(shuttingDown());
    }, timeout);
    await new Promise<void>((resolve) => this.waitingForEnd.push(resolve));
    clearTimeout(timer);
    return stopped;
  }

  /** Called by each job when it ended. */
  onJobEnd(): void {
    if (this.jobs.size > 0) return;
    for (const resolve of this.waitingForEnd.splice(0)) resolve();
  }

  /** Stops what is still under way and unloads the models. */
  async close(): Promise<void> {
    this.draining = true;
    for (const job of this.jobs) job.stop(shuttingDown());
    await this.models.close();
  }
}
