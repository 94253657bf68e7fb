import { constants } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { FileError } from "../errors";

/**
 * Opens a regular file for reading. Never blocks on a pipe or a device, and never follows a change of kind between the
 * look and the opening.
 * @throws FileError naming the path and the reason.
 */
export async function openRegularFile(path: string): Promise<{ handle: FileHandle; size: number }> {
  let handle: FileHandle | undefined;
  try {
    if (!(await stat(path)).isFile()) throw new FileError(`"${path}" is not a regular file. Give the path of a file.`);
    handle = await open(path, constants.O_RDONLY | (process.platform === "win32" ? 0 : constants.O_NONBLOCK));
    const opened = await handle.stat();
    if (!opened.isFile()) throw new FileError(`"${path}" is not a regular file. Give the path of a file.`);
    return { handle, size: opened.size };
  } catch (error) {
    await handle?.close();
    if (error instanceof FileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FileError(`Cannot open "${path}": ${reason}. Check the path and its permissions.`, { cause: error });
  }
}
