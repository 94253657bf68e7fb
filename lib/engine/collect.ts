import { abortError, onAbort, throwIfAborted } from "./abort";
import type { Output, Query, Request } from "./request";
import type { Scheduler } from "./scheduler";
import { Sequence } from "./sequence";

/** What is to be computed over given tokens. */
export interface CollectOptions {
  /** For error messages: "model.evaluate". */
  what: string;
  signal: AbortSignal | undefined;
  /** As `Request.priority`; default 0. */
  priority?: number | undefined;
  /** What is wanted of each position. */
  query: (position: number) => Query;
  /** The first position whose output is wanted; default 0. */
  firstOutput?: number;
  /** Called for every position from there on in order, exactly once. */
  onOutput: (position: number, output: Output) => void;
}

/**
 * Computes given tokens as a sequence of their own and hands out the outputs of all positions.
 * Rejects with `AbortError` as soon as the signal is aborted.
 */
export function collect(scheduler: Scheduler, tokens: ArrayLike<number>, options: CollectOptions): Promise<void> {
  const { what, signal, query, onOutput, firstOutput = 0, priority = 0 } = options;
  throwIfAborted(what, signal);
  if (tokens.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const sequence = new Sequence();
    let position = firstOutput;
    const settle = (error?: Error): void => {
      removeListener();
      scheduler.release(sequence);
      if (error) reject(error);
      else resolve();
    };
    const request: Request = {
      sequence,
      prompt: tokens,
      firstOutput,
      ready: true,
      priority,
      begin: () => undefined,
      query,
      receive(output) {
        onOutput(position, output);
        position++;
        if (position < tokens.length) return true;
        settle();
        return false;
      },
      fail: settle,
    };
    const removeListener = onAbort(signal, () => {
      scheduler.cancel(request);
      settle(signal ? abortError(what, signal) : undefined);
    });
    try {
      scheduler.submit(request);
    } catch (error) {
      removeListener();
      throw error;
    }
  });
}
