import { setImmediate } from "node:timers/promises";

/**
 * Lets long loops on the JavaScript thread give way: `await slicer.pause()` between small portions of work returns to
 * the event loop when a few milliseconds have passed.
 */
export class Slicer {
  private since = performance.now();

  /** @param milliseconds longest time between two returns to the event loop, as far as portions are small */
  constructor(private readonly milliseconds = 3) {}

  async pause(): Promise<void> {
    if (performance.now() - this.since < this.milliseconds) return;
    await setImmediate();
    this.since = performance.now();
  }
}

/** Sorts in place like `Array.prototype.sort` (stable), without holding the event loop for long. */
export async function sortInSlices<T>(items: T[], compare: (a: T, b: T) => number, slicer: Slicer): Promise<void> {
  const run = 2048;
  const count = items.length;
  for (let start = 0; start < count; start += run) {
    const part = items.slice(start, start + run).sort(compare);
    for (let i = 0; i < part.length; i++) items[start + i] = part[i] as T;
    await slicer.pause();
  }
  let from = items;
  let to = new Array<T>(count);
  for (let width = run; width < count; width *= 2) {
    for (let start = 0; start < count; start += 2 * width) {
      let left = start;
      let right = Math.min(start + width, count);
      const middle = right;
      const end = Math.min(start + 2 * width, count);
      for (let at = start; at < end; at++) {
        if ((at & 8191) === 8191) await slicer.pause();
        const takeLeft = left < middle && (right >= end || compare(from[left] as T, from[right] as T) <= 0);
        to[at] = from[takeLeft ? left++ : right++] as T;
      }
    }
    await slicer.pause();
    [from, to] = [to, from];
  }
  if (from === items) return;
  for (let i = 0; i < count; i++) {
    if ((i & 8191) === 8191) await slicer.pause();
    items[i] = from[i] as T;
  }
}
