import { ApiError } from "./api_error";

/** Bounds of a gate. */
export interface GateLimits {
  /** Texts that are generated at the same time. */
  maxConcurrent: number;
  /** Requests that wait for their turn; more are refused. */
  maxQueue: number;
  /** Longest wait in milliseconds. */
  queueTimeoutMs: number;
}

interface Waiter {
  readonly weight: number;
  readonly enter: () => void;
}

/** How many past durations the estimate for `Retry-After` remembers, as the weight of the newest. */
const NEWEST_SHARE = 0.2;

/** Lets so many texts be generated at a time and holds the others back in order of arrival. */
export class Gate {
  private active = 0;
  private readonly waiters: Waiter[] = [];
  /** Mean duration of a request in seconds, the newest counting most. */
  private meanSeconds = 1;

  constructor(private readonly limits: GateLimits) {}

  /** Texts that are being generated. */
  get running(): number {
    return this.active;
  }

  /** Requests that wait. */
  get queued(): number {
    return this.waiters.length;
  }

  /** Seconds after which a refused client may find room. */
  get retryAfterSeconds(): number {
    const rounds = (this.waiters.length + 1) / this.limits.maxConcurrent;
    return Math.min(Math.max(Math.ceil(rounds * this.meanSeconds), 1), 60);
  }

  /**
   * Waits for room for a request of `texts` texts; a request larger than the gate takes all of it. The function that is
   * returned gives the room back, once.
   * @throws ApiError 429 when the queue is full, 503 when the wait was too long; the reason of `signal` when it is aborted
   */
  async enter(texts: number, signal: AbortSignal): Promise<() => void> {
    const weight = Math.min(texts, this.limits.maxConcurrent);
    signal.throwIfAborted();
    if (this.waiters.length > 0 || !this.fits(weight)) await this.wait(weight, signal);
    else this.active += weight;
    const started = performance.now();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.active -= weight;
      const seconds = (performance.now() - started) / 1000;
      this.meanSeconds += NEWEST_SHARE * (seconds - this.meanSeconds);
      this.admit();
    };
  }

  private fits(weight: number): boolean {
    return this.active + weight <= this.limits.maxConcurrent;
  }

  private wait(weight: number, signal: AbortSignal): Promise<void> {
    if (this.waiters.length >= this.limits.maxQueue) {
      return Promise.reject(this.refusal(429, "The server is busy and its queue is full; try again later."));
    }
    return new Promise((resolve, reject) => {
      const leave = (error: Error): void => {
        stopWaiting();
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        // Whoever stood behind may fit now.
        this.admit();
        reject(error);
      };
      const onAbort = (): void => leave(signal.reason as Error);
      const timer = setTimeout(
        () => leave(this.refusal(503, "The server is busy; the request waited too long for its turn.")),
        this.limits.queueTimeoutMs,
      );
      const stopWaiting = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        weight,
        enter: () => {
          stopWaiting();
          resolve();
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.waiters.push(waiter);
    });
  }

  private admit(): void {
    for (;;) {
      const [next] = this.waiters;
      if (!next || !this.fits(next.weight)) return;
      this.waiters.shift();
      this.active += next.weight;
      next.enter();
    }
  }

  private refusal(status: 429 | 503, message: string): ApiError {
    return new ApiError(status, message, {
      type: status === 429 ? "rate_limit_error" : "server_error",
      code: status === 429 ? "queue_full" : "queue_timeout",
      headers: { "retry-after": String(this.retryAfterSeconds) },
    });
  }
}
