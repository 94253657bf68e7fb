/** Watches a process over time: memory, handles, and how fast it answers. */
import { readdirSync } from "node:fs";

/** What stood at one moment. */
export interface Sample {
  seconds: number;
  rss: number;
  heap: number;
  /** Open files; 0 where the system does not say. */
  files: number;
  handles: number;
}

export function takeSample(started: number): Sample {
  const { rss, heapUsed } = process.memoryUsage();
  return {
    seconds: (performance.now() - started) / 1000,
    rss,
    heap: heapUsed,
    files: openFiles(),
    handles: process.getActiveResourcesInfo().length,
  };
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** The slope of the line that fits best, by least squares: units of y a unit of x. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const n = Math.max(1, points.length);
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
