import { ApiError } from "./api_error";

/** More clients than this are not told apart: the one that was unseen for longest starts anew. */
const MOST_CLIENTS = 10_000;

interface Bucket {
  /** Requests that are left. */
  tokens: number;
  /** Time of the last visit, milliseconds. */
  at: number;
}

/**
 * A token bucket for each client: bursts of up to a minute's share, then a steady rate.
 */
export class RateLimiter {
  // In the order of the last visit, so that the first is the oldest.
  private readonly buckets = new Map<string, Bucket>();

  /**
   * @param perMinute requests that a client may make in a minute
   * @param now clock in milliseconds
   */
  constructor(
    private readonly perMinute: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Counts a request. @throws ApiError 429 with `Retry-After` when there are none left */
  take(client: string): void {
    const now = this.now();
    const before = this.buckets.get(client);
    const perMs = this.perMinute / 60_000;
    const tokens = before ? Math.min(before.tokens + (now - before.at) * perMs, this.perMinute) : this.perMinute;
    this.buckets.delete(client);
    this.buckets.set(client, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    if (this.buckets.size > MOST_CLIENTS) {
      const [oldest] = this.buckets.keys();
      if (oldest !== undefined) this.buckets.delete(oldest);
    }
    if (tokens >= 1) return;
    throw new ApiError(429, `Rate limit reached: ${this.perMinute} requests per minute. Please try again later.`, {
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      headers: { "retry-after": String(Math.max(1, Math.ceil((1 - tokens) / perMs / 1000))) },
    });
  }
}
