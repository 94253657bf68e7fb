import type { FastifyReply } from "fastify";
import { ApiError, shuttingDown } from "./api_error";
import type { Lease } from "./registry";
import type { Service } from "./service";

/**
 * A request that generates, from its arrival to its end: it stops when the client leaves, when it takes too long and
 * when the server has to go, and gives back what it took.
 */
export class Job {
  private readonly controller = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private readonly cleanups: (() => void)[] = [];

  private constructor(
    private readonly service: Service,
    private readonly reply: FastifyReply,
  ) {
    const { generationTimeout } = service.options;
    this.timer = setTimeout(() => {
      this.controller.abort(
        new ApiError(504, `The answer took longer than ${generationTimeout} ms.`, { code: "timeout" }),
      );
    }, generationTimeout);
  }

  /**
   * Runs `work` as a job.
   * @throws ApiError 503 when the server takes no more work; what `work` throws
   */
  static async run<T>(service: Service, reply: FastifyReply, work: (job: Job) => Promise<T>): Promise<T> {
    if (service.draining) throw shuttingDown();
    const job = new Job(service, reply);
    reply.raw.on("close", job.onClose);
    service.jobs.add(job);
    try {
      return await work(job);
    } finally {
      job.end();
    }
  }

  /** Aborted with an `ApiError` when nobody needs the answer. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Stops the work; the client, if there, gets `error`. */
  stop(error: ApiError): void {
    this.controller.abort(error);
  }

  /**
   * Waits for the model and for room for so many texts. Both are given back when the job ends.
   * @throws ApiError
   */
  async enter(model: string | undefined, texts: number): Promise<Lease> {
    const lease = await this.service.models.acquire(model);
    this.cleanups.push(lease.release);
    this.signal.throwIfAborted();
    const arrived = performance.now();
    this.cleanups.push(await this.service.gate.enter(texts, this.signal));
    this.service.metrics.entered((performance.now() - arrived) / 1000);
    return lease;
  }

  private readonly onClose = (): void => {
    if (this.reply.raw.writableFinished) return;
    this.service.metrics.aborted.inc();
    // Nobody reads this; the status stands in the log.
    this.controller.abort(new ApiError(499, "The client closed the connection."));
  };

  private end(): void {
    clearTimeout(this.timer);
    this.reply.raw.off("close", this.onClose);
    for (const cleanup of this.cleanups.splice(0).reverse()) cleanup();
    this.service.jobs.delete(this);
    this.service.onJobEnd();
  }
}
