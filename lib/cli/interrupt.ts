/** Exit code of a program that Ctrl-C ended: 128 + SIGINT. */
export const INTERRUPTED = 130;

let controller: AbortController | undefined;

function interrupt(): void {
  if (controller?.signal.aborted) process.exit(INTERRUPTED);
  controller?.abort();
}

/** Aborted by the first Ctrl-C, so that work ends in order; the second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  if (!controller) {
    controller = new AbortController();
    process.on("SIGINT", interrupt);
  }
  return controller.signal;
}

/** The same, aborted by SIGTERM too: for work that would leave gigabytes of a temporary file behind. */
export function terminationSignal(): AbortSignal {
  const signal = interruptSignal();
  process.on("SIGTERM", interrupt);
  return signal;
}

/** Whether the signal was aborted. */
export function wasInterrupted(): boolean {
  return controller?.signal.aborted ?? false;
}
