/** How much of the code that a target covers ran, by V8's own counts. */
import { Session } from "node:inspector/promises";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

export interface Coverage {
  files: number;
  /** Of the files' functions that ran at all. */
  functions: number;
  ran: number;
}

export async function startCoverage(): Promise<(covers: readonly string[]) => Promise<Coverage>> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  return async (covers) => {
    const { result } = await session.post("Profiler.takePreciseCoverage");
    const roots = rootsOf(covers);
    const scripts = result.filter(({ url }) => roots.some((root) => url.startsWith(root)));
    const functions = scripts.flatMap((script) => script.functions);
    return {
      files: scripts.length,
      functions: functions.length,
      ran: functions.filter(({ ranges }) => ranges.some(({ count }) => count > 0)).length,
    };
  };
}

/** Tells of each input whether it reaches code that none before it did, by V8's counts of blocks. */
export async function startGrowth(covers: readonly string[]): Promise<() => Promise<boolean>> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const roots = rootsOf(covers);
  /** Characters of each script that were reached. */
  const reached = new Map<string, boolean[]>();
  return async () => {
    const { result } = await session.post("Profiler.takePreciseCoverage");
    let grown = false;
    for (const { url, functions } of result) {
      if (!roots.some((root) => url.startsWith(root))) continue;
      const length = Math.max(...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)));
      const now = new Uint8Array(length);
      // From the outside to the inside, as they come.
      for (const { startOffset, endOffset, count } of functions.flatMap(({ ranges }) => ranges))
        now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      const before = reached.get(url) ?? [];
      for (let i = 0; i < length; i++) {
        if (!now[i] || before[i]) continue;
        before[i] = true;
        grown = true;
      }
      reached.set(url, before);
    }
    return grown;
  };
}

/** The beginnings of the addresses by which V8 knows those files. */
function rootsOf(covers: readonly string[]): string[] {
  return covers.flatMap((each) => [resolve(each), pathToFileURL(resolve(each)).href]);
}
