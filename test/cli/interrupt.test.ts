import { interruptSignal, terminationSignal, wasInterrupted } from "../../lib/cli/interrupt";

test("SIGTERM aborts what asked for that, as Ctrl-C does everything", () => {
  const before = process.listenerCount("SIGTERM");
  const signal = interruptSignal();
  expect(process.listenerCount("SIGTERM")).toBe(before);
  expect(terminationSignal()).toBe(signal);
  expect([signal.aborted, wasInterrupted()]).toEqual([false, false]);
  process.emit("SIGTERM");
  expect([signal.aborted, wasInterrupted()]).toEqual([true, true]);
});
