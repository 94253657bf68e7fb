import { mkdir, readdir, rm, stat, statfs, utimes } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./cache_folder";

/** A model's packed weights on the disk. */
export interface PackedWeightsFile {
  path: string;
  bytes: number;
  /** When they were last used, in milliseconds. */
  usedMs: number;
}

/** How the names of finished files end, and of those being written. */
const SUFFIX = ".packed";
const VOCABULARY = ".packed.vocabulary";
const TEMPORARY = ".tmp";

/** Files being written that are older than this were left behind by a process that was killed. */
const ABANDONED_MS = 3_600_000;

/** Where packed weights are kept unless another folder is given. */
export function packedFolder(): string {
  return join(cacheFolder(), "packed");
}

/** The path of the file called `name` in `folder`. */
export function packedPath(folder: string, name: string): string {
  return join(folder, `${name}${SUFFIX}`);
}

/** The path of the tables of the vocabulary called `name`, which are kept beside the weights. */
export function vocabularyPath(folder: string, name: string): string {
  return join(folder, `${name}${VOCABULARY}`);
}

/** The files in a folder, the least recently used first; none where there is no folder. */
export async function listPacked(folder: string): Promise<PackedWeightsFile[]> {
  const files = await filesOf(folder);
  const kept = files.filter(({ path }) => path.endsWith(SUFFIX) || path.endsWith(VOCABULARY));
  return kept.sort((a, b) => a.usedMs - b.usedMs);
}

/** Notes that a file was used, so that it is among the last to go. */
export async function touchPacked(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/**
 * Makes room for a file of `bytes` at `path`: removes what was used least recently until the folder holds at most `limit`
 * with it, and what killed processes left behind.
 * @returns why there is no room: the limit, or the disk, of which half of what is free stays free; undefined: there is
 */
export async function makeRoom(
  folder: string,
  path: string,
  bytes: number,
  limit: number,
): Promise<string | undefined> {
  if (bytes > limit) return `it would take ${bytes} bytes, and the limit is ${limit}`;
  await mkdir(folder, { recursive: true });
  const files = await filesOf(folder);
  const old = Date.now() - ABANDONED_MS;
  for (const file of files) {
    if (file.path.endsWith(TEMPORARY) && file.path.includes(SUFFIX) && file.usedMs < old) await remove(file.path);
  }
  const others = (await listPacked(folder)).filter((file) => file.path !== path);
  let total = others.reduce((sum, file) => sum + file.bytes, 0);
  for (const file of others) {
    if (total + bytes <= limit) break;
    await remove(file.path);
    total -= file.bytes;
  }
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize < 2 * bytes ? `the disk has only ${bavail * bsize} bytes left` : undefined;
}

/** Removes all packed weights of a folder. @returns bytes that were freed */
export async function clearPacked(folder: string): Promise<number> {
  let freed = 0;
  for (const { path, bytes } of await filesOf(folder)) {
    if (!path.includes(SUFFIX)) continue;
    await rm(path, { force: true });
    freed += bytes;
  }
  return freed;
}

async function filesOf(folder: string): Promise<PackedWeightsFile[]> {
  const names = await readdir(folder).catch(() => []);
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const stats = await stat(path).catch(() => undefined);
      return stats?.isFile() ? [{ path, bytes: stats.size, usedMs: stats.mtimeMs }] : [];
    }),
  );
  return files.flat();
}

async function remove(path: string): Promise<void> {
  // Another process may have been faster, or have it open where the system forbids removing it then.
  await rm(path, { force: true }).catch(() => undefined);
}
