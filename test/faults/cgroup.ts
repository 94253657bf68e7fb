/** Memory control groups, where this process may make them. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOTS = [
  { folder: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes" },
  { folder: "/sys/fs/cgroup", limit: "memory.max" },
] as const;

/** A group whose processes may take so many bytes; undefined where none can be made. Call `remove` when they have ended. */
export function memoryGroup(name: string, bytes: number): { processes: string; remove: () => void } | undefined {
  for (const { folder, limit } of ROOTS) {
    const group = join(folder, `${name}-${process.pid}`);
    try {
      mkdirSync(group);
    } catch {
      continue;
    }
    if (existsSync(join(group, limit))) {
      writeFileSync(join(group, limit), String(bytes));
      return { processes: join(group, "cgroup.procs"), remove: () => rmdirSync(group) };
    }
    rmdirSync(group);
  }
  return undefined;
}
