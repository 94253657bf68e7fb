import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { FileError } from "../../errors";

/** How often a lock's time is renewed, and after how long without it its owner is taken to be gone. */
const RENEWAL = 5_000;
const STALE = 30_000;

/** The locks of this process: process ids repeat, in containers at once, so its own id in a file says little. */
const held = new Set<string>();

/**
 * Keeps two processes from writing one file. The lock of a process that is gone is taken over: on this machine as soon as
 * the process has ended, on another that shares the disk when the lock has not been renewed for half a minute.
 * @param name of the file, for the message
 * @returns what frees the lock
 * @throws FileError while another process has it
 */
export async function lock(path: string, name: string): Promise<() => Promise<void>> {
  for (let tries = 0; tries < 2; tries++) {
    try {
      await writeFile(path, `${process.pid}\n${hostname()}`, { flag: "wx" });
      return hold(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const owner = await ownerOf(path);
      if (owner !== undefined) {
        throw new FileError(`${owner} is downloading ${name} already. Wait for it, or stop it.`);
      }
      await rm(path, { force: true });
    }
  }
  throw new FileError(`Another process is downloading ${name} already.`);
}

function hold(path: string): () => Promise<void> {
  held.add(path);
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, RENEWAL);
  timer.unref();
  return async () => {
    clearInterval(timer);
    held.delete(path);
    await rm(path, { force: true });
  };
}

/** Who holds a lock, for people; undefined where its owner is gone. */
async function ownerOf(path: string): Promise<string | undefined> {
  const [pid = "", host = hostname()] = (await readFile(path, "utf8").catch(() => "")).split("\n");
  const id = Number(pid);
  if (!(Number.isInteger(id) && id > 0)) return undefined;
  if (host === hostname()) {
    if (id === process.pid) return held.has(path) ? "This process" : undefined;
    return isRunning(id) ? `Process ${id}` : undefined;
  }
  const stats = await stat(path).catch(() => undefined);
  return stats && Date.now() - stats.mtimeMs < STALE ? `Process ${id} of "${host}"` : undefined;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
