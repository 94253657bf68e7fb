import { setTimeout as sleep } from "node:timers/promises";
import { AbortError, FileError } from "../../errors";

/** How the Hub is reached. */
export interface HubConnection {
  /** "https://huggingface.co", without a slash at the end. */
  endpoint: string;
  token: string | undefined;
  signal: AbortSignal | undefined;
  /** Milliseconds before the first of the later tries; doubled each time. */
  retryDelay: number;
  /** Milliseconds without a byte after which a connection counts as cut. */
  stallTimeout: number;
}

/** A failure that may pass by itself: the network's, or a server's that is busy. */
export class TransientError extends Error {
  /** @param retryAfter milliseconds that the server asks for */
  constructor(
    message: string,
    readonly retryAfter: number,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

const TRIES = 6;
const LONGEST_PAUSE = 60_000;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

/**
 * Does `work` until it succeeds, fails for good, or has failed `TRIES` times without progress.
 * @param progressed tells whether bytes have come since the last call: then the count begins anew
 */
export async function withRetries<T>(
  connection: HubConnection,
  work: () => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(connection.signal);
    try {
      return await work();
    } catch (error) {
      throwIfAborted(connection.signal);
      if (!(error instanceof TransientError)) throw error;
      if (progressed()) attempt = 1;
      if (attempt >= TRIES) {
        throw new FileError(`${error.message} Tried ${TRIES} times; try again later: what has come is kept.`, {
          cause: error,
        });
      }
      const pause = Math.max(error.retryAfter, connection.retryDelay * 2 ** (attempt - 1));
      await sleep(
        Math.min(pause, LONGEST_PAUSE),
        undefined,
        connection.signal ? { signal: connection.signal } : {},
      ).catch(() => undefined);
    }
  }
}

/**
 * A GET request whose answer is 200 or 206. The token goes to the endpoint only: redirects to other hosts lose it.
 * @throws TransientError, FileError saying what to do
 */
export async function get(
  connection: HubConnection,
  url: string,
  what: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const { token } = connection;
  const signals = [AbortSignal.timeout(connection.stallTimeout), ...(connection.signal ? [connection.signal] : [])];
  // The deadline is for the answer's head; bodies have a watchdog of their own.
  const head = AbortSignal.any(signals);
  const body = new AbortController();
  const stop = (): void => body.abort();
  head.addEventListener("abort", stop);
  let response: Response;
  try {
    response = await fetch(url, {
      headers: {
        "user-agent": "node-bitnet",
        "accept-encoding": "identity",
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      signal: body.signal,
    });
  } catch (error) {
    throwIfAborted(connection.signal);
    throw new TransientError(`Cannot reach ${new URL(url).origin} for ${what}: ${reasonOf(error)}.`, 0, {
      cause: error,
    });
  } finally {
    head.removeEventListener("abort", stop);
  }
  if (response.status === 200 || response.status === 206) return response;
  await response.body?.cancel().catch(() => undefined);
  throw statusError(response, what, token !== undefined);
}

/** The bytes of an answer, as they come. @throws TransientError when the connection is cut or stalls */
export async function* readBody(
  connection: HubConnection,
  response: Response,
  what: string,
): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  const stop = (): void => void reader.cancel().catch(() => undefined);
  connection.signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      const { done, value } = await readPiece(reader, connection.stallTimeout).catch((error: unknown) => {
        throwIfAborted(connection.signal);
        throw new TransientError(`The connection was cut while ${what} was coming: ${reasonOf(error)}.`, 0, {
          cause: error,
        });
      });
      throwIfAborted(connection.signal);
      if (done) return;
      yield value;
    }
  } finally {
    connection.signal?.removeEventListener("abort", stop);
    stop();
  }
}

/** The next bytes, or an error where none come for a while. */
async function readPiece(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  milliseconds: number,
): Promise<Awaited<ReturnType<typeof reader.read>>> {
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no byte came in ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([reader.read(), stalled]);
  } finally {
    clearTimeout(timer);
  }
}

function statusError(response: Response, what: string, hasToken: boolean): Error {
  const { status } = response;
  if (TRANSIENT.has(status)) {
    const seconds = Number(response.headers.get("retry-after") ?? 0);
    return new TransientError(
      `The Hub answered ${status} for ${what}.`,
      Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0,
    );
  }
  if (status === 401 || status === 403) {
    return new FileError(
      `The Hub refuses ${what} (${status}): it does not exist, is private, or its licence has to be accepted on the ` +
        `model's page. ${hasToken ? "Check that HF_TOKEN may read it." : "Set HF_TOKEN to a token that may read it."}`,
    );
  }
  if (status === 404) return new FileError(`The Hub has no ${what} (404). Check owner, name, file and revision.`);
  return new FileError(`The Hub answered ${status} for ${what}.`);
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } };
  return [message, cause?.message ?? cause?.code].filter(Boolean).join(": ") || String(error);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError("The download was aborted.", { cause: signal.reason });
}
