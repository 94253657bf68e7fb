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
    const roots = covers.flatMap((each) => [resolve(each), pathToFileURL(resolve(each)).href]);
    const scripts = result.filter(({ url }) => roots.some((root) => url.startsWith(root)));
    const functions = scripts.flatMap((script) => script.functions);
    return {
      files: scripts.length,
      functions: functions.length,
      ran: functions.filter(({ ranges }) => ranges.some(({ count }) => count > 0)).length,
    };
  };
}
