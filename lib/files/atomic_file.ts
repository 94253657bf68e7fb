import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { BitnetError, FileError } from "../errors";

/**
 * Writes a file so that its path never shows a part of it: the bytes go to a temporary file in the same folder, are
 * flushed to the disk, and the file is renamed over `path`. When `write` throws, `path` is as it was and nothing is left.
 * @throws FileError when the folder or file cannot be written; errors of this package pass through.
 */
export async function writeFileAtomically(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const target = resolve(path);
  const folder = dirname(target);
  const temporary = join(folder, `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const handle = await open(temporary, "wx");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncFolder(folder);
  } catch (error) {
    // A failing clean-up must not hide why writing failed.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw cannotWrite(target, error);
  }
}

/** The error to throw where a file could not be written: a FileError, or one of this package as it is. */
export function cannotWrite(path: string, error: unknown): BitnetError {
  if (error instanceof BitnetError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new FileError(`Cannot write "${path}": ${reason}. Check the folder, its permissions and free space.`, {
    cause: error,
  });
}

/** Makes the rename last. Not every system can open folders (Windows), and the file itself is complete either way. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Nothing to do: see above.
  }
}
