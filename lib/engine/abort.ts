import { getMaxListeners, setMaxListeners } from "node:events";
import { AbortError } from "../errors";

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
