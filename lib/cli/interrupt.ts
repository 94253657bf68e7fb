/** Exit code of a program that Ctrl-C ended: 128 + SIGINT. */
export const INTERRUPTED = 130;

let controller: AbortController | undefined;

/** Aborted by the first Ctrl-C, so that work ends in order; the second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  if (!controller) {
    const created = (controller = new AbortController());
    process.on("SIGINT", () => {
      if (created.signal.aborted) process.exit(INTERRUPTED);
      created.abort();
    });
  }
  return controller.signal;
}

/** Whether Ctrl-C was pressed. */
export function wasInterrupted(): boolean {
  return controller?.signal.aborted ?? false;
}
