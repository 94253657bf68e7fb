import { readFile } from "node:fs/promises";
import { FileError, InvalidOptionError } from "../errors";

/** All of standard input, without the line break at its end. On a terminal there is none to read. */
export async function readStandardInput(): Promise<string> {
  if (process.stdin.isTTY) {
    throw new InvalidOptionError(
      'No prompt: give one as an argument, or pipe it in: echo "Once" | node-bitnet generate',
    );
  }
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

/** A text file. @throws FileError if it cannot be read or is no UTF-8 */
export async function readTextFile(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new FileError(`Cannot read "${path}": ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new FileError(`"${path}" is no UTF-8 text; convert it first, for example with iconv.`, { cause: error });
  }
}
