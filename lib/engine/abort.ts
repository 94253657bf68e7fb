import { getMaxListeners, setMaxListeners } from "node:events";
import { AbortError } from "../errors";
import type { EvaluateOptions, WorkOptions } from "./engine";

/** The error of work that a signal stopped; what was given to `abort()` is its cause. */
export function abortError(what: string, signal: AbortSignal): AbortError {
  return new AbortError(`${what} was aborted.`, { cause: signal.reason });
}

/** @throws AbortError if the signal is aborted already */
export function throwIfAborted(what: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(what, signal);
}

/** Calls `action` once when the signal is aborted. The function that is returned takes the listener away again. */
export function onAbort(signal: AbortSignal | undefined, action: () => void): () => void {
  if (!signal) return () => undefined;
  signal.addEventListener("abort", action, { once: true });
  // One signal for many requests is no leak, and shall not be warned of.
  expectListeners(signal, 1);
  let listening = true;
  return () => {
    if (!listening) return;
    listening = false;
    signal.removeEventListener("abort", action);
    expectListeners(signal, -1);
  };
}

/** Does work that is given up when a signal is aborted, or after some milliseconds. Nothing is left behind. */
export async function withinTime<T>(
  { timeout, ...options }: EvaluateOptions,
  work: (options: WorkOptions) => Promise<T>,
): Promise<T> {
  if (timeout === undefined) return work(options);
  const { signal } = options;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(timeoutReason(timeout)), timeout);
  const removeListener = onAbort(signal, () => stop.abort(signal?.reason));
  if (signal?.aborted) stop.abort(signal.reason);
  try {
    return await work({ ...options, signal: stop.signal });
  } finally {
    clearTimeout(timer);
    removeListener();
  }
}

/** The error of work that its timeout stopped; its cause is told from other aborts by the name "TimeoutError". */
export function timeoutError(what: string, timeout: number): AbortError {
  return new AbortError(`${what} took longer than its timeout of ${timeout} ms.`, { cause: timeoutReason(timeout) });
}

function timeoutReason(timeout: number): DOMException {
  return new DOMException(`${timeout} ms are over`, "TimeoutError");
}

function expectListeners(signal: AbortSignal, change: number): void {
  let most: number;
  try {
    most = getMaxListeners(signal);
  } catch {
    // Node.js says this of signals with any number of listeners, and of those of another library.
    return;
  }
  if (most > 0) setMaxListeners(most + change, signal);
}
