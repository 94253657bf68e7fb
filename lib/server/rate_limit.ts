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

  /**
   * Counts a request. Returns headers that tell the client what it has left, by OpenAI's names.
   * @throws ApiError 429 with `Retry-After` and the same headers when there is none left
   */
  take(client: string): Readonly<Record<string, string>> {
    const now = this.now();
    const before = this.buckets.get(client);
    const perMs = this.perMinute / 60_000;
    const tokens = before ? Math.min(before.tokens + (now - before.at) * perMs, this.perMinute) : this.perMinute;
    this.buckets.delete(client);
    const left = tokens >= 1 ? tokens - 1 : tokens;
    this.buckets.set(client, { tokens: left, at: now });
    if (this.buckets.size > MOST_CLIENTS) {
      const [oldest] = this.buckets.keys();
      if (oldest !== undefined) this.buckets.delete(oldest);
    }
    const headers = {
      "x-ratelimit-limit-requests": String(this.perMinute),
      "x-ratelimit-remaining-requests": String(Math.floor(left)),
      // Until all are back.
      "x-ratelimit-reset-requests": `${Math.ceil((this.perMinute - left) / perMs / 1000)}s`,
    };
    if (tokens >= 1) return headers;
    throw new ApiError(429, `Rate limit reached: ${this.perMinute} requests per minute. Please try again later.`, {
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      headers: { ...headers, "retry-after": String(Math.max(1, Math.ceil((1 - tokens) / perMs / 1000))) },
    });
  }
}
