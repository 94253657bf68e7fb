import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AbortError, BitnetError, FileError } from "../../errors";
import { get, readBody, TransientError, withRetries, type HubConnection } from "./client";
import { lock } from "./lock";

/** A file to fetch. */
export interface RemoteFile {
  /** Path in the repository. */
  name: string;
  url: string;
  bytes: number;
  /** Name of the blob: its SHA-256 for large files, else git's SHA-1. */
  blob: string;
  /** SHA-256 of the content, where the Hub tells it. */
  sha256: string | undefined;
}

/** Bytes of one request; finished parts survive an interruption. */
export const PART_BYTES = 16 * 1024 * 1024;

/** Requests at the same time. */
const PARALLEL = 4;

/** Free space that is left on the disk at least. */
const SPARE_BYTES = 64 * 1024 * 1024;

/** The parts of a file that are on the disk already. */
interface State {
  bytes: number;
  partBytes: number;
  done: number[];
}

/**
 * Fetches a file into the folder of blobs, in parts at the same time, going on where an earlier try was interrupted, and
 * checks its hash before it appears under its name.
 * @param onBytes called with bytes as they come, and with those of parts that were there already
 * @throws FileError, AbortError
 */
export async function downloadBlob(
  connection: HubConnection,
  folder: string,
  file: RemoteFile,
  onBytes: (count: number) => void,
  partBytes = PART_BYTES,
): Promise<string> {
  const path = join(folder, file.blob);
  const existing = await stat(path).catch(() => undefined);
  if (existing?.isFile() && existing.size === file.bytes) {
    onBytes(file.bytes);
    return path;
  }
  // Not Hugging Face's ".incomplete", whose length says how much is there: ours has holes.
  const partial = `${path}.bitnet-part`;
  const statePath = `${path}.bitnet-state`;
  try {
    await mkdir(folder, { recursive: true });
    const unlock = await lock(`${path}.bitnet-lock`, file.name);
    try {
      const state = await readState(statePath, partial, file.bytes, partBytes);
      await fetchParts(connection, file, { partial, statePath, state, onBytes });
      await verify(partial, file, connection.signal);
      await rename(partial, path);
      await rm(statePath, { force: true });
    } finally {
      await unlock();
    }
  } catch (error) {
    if (error instanceof BitnetError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FileError(`Cannot store ${file.name} in "${folder}": ${reason}. Check the folder and free space.`, {
      cause: error,
    });
  }
  return path;
}

/**
 * Checks that the disk has room for bytes that are to come.
 * @throws FileError saying how much is missing
 */
export async function checkSpace(folder: string, bytes: number): Promise<void> {
  let existing = folder;
  while (!(await stat(existing).catch(() => undefined)) && dirname(existing) !== existing) existing = dirname(existing);
  const space = await statfs(existing).catch(() => undefined);
  if (!space) return;
  const free = space.bavail * space.bsize;
  if (free >= bytes + SPARE_BYTES) return;
  const mib = (count: number): string => `${Math.ceil(count / 2 ** 20)} MiB`;
  throw new FileError(
    `The download takes ${mib(bytes)}, but "${existing}" has ${mib(free)} free. Free space there, or set HF_HOME to a ` +
      `folder on another disk.`,
  );
}

interface Parts {
  partial: string;
  statePath: string;
  state: State;
  onBytes: (count: number) => void;
}

async function fetchParts(connection: HubConnection, file: RemoteFile, parts: Parts): Promise<void> {
  const { state, partial, statePath, onBytes } = parts;
  const count = Math.max(1, Math.ceil(file.bytes / state.partBytes));
  const done = new Set(state.done);
  const missing = Array.from({ length: count }, (_, i) => i).filter((i) => !done.has(i));
  for (const part of done) onBytes(partLength(file, state, part));
  const handle = await open(partial, done.size > 0 ? "r+" : "w+");
  // A failing part stops the others at once.
  const stop = new AbortController();
  const signal = connection.signal ? AbortSignal.any([connection.signal, stop.signal]) : stop.signal;
  let saving: Promise<void> = Promise.resolve();
  const worker = async (): Promise<void> => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      await fetchPart({ ...connection, signal }, file, { part, single: count === 1, handle, state, onBytes });
      done.add(part);
      saving = saving.then(async () => {
        await handle.datasync();
        await saveState(statePath, { ...state, done: [...done] });
      });
      await saving;
    }
  };
  try {
    const workers = Array.from({ length: Math.min(PARALLEL, missing.length) }, worker);
    try {
      await Promise.all(workers);
    } catch (error) {
      stop.abort();
      await Promise.allSettled(workers);
      throw error;
    }
    await handle.truncate(file.bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface Part {
  part: number;
  single: boolean;
  handle: FileHandle;
  state: State;
  onBytes: (count: number) => void;
}

/** Fetches one part; after a cut the rest of it is asked for. */
async function fetchPart(connection: HubConnection, file: RemoteFile, target: Part): Promise<void> {
  const { part, single, handle, state, onBytes } = target;
  const start = part * state.partBytes;
  const length = partLength(file, state, part);
  if (length === 0) return;
  let at = 0;
  let before = 0;
  const progressed = (): boolean => {
    const moved = at > before;
    before = at;
    return moved;
  };
  await withRetries(
    connection,
    async () => {
      const whole = single && at === 0;
      const range = `bytes=${start + at}-${start + length - 1}`;
      const response = await get(connection, file.url, file.name, whole ? {} : { range });
      checkRange(response, file, start + at, whole);
      for await (const piece of readBody(connection, response, file.name)) {
        if (piece.length > length - at) throw new FileError(`The Hub sent more of ${file.name} than was asked for.`);
        await writeFully(handle, piece, start + at);
        at += piece.length;
        onBytes(piece.length);
      }
      if (at < length) throw new TransientError(`The connection ended within ${file.name}.`, 0);
    },
    progressed,
  );
}

function checkRange(response: Response, file: RemoteFile, start: number, whole: boolean): void {
  if (whole && response.status === 200) return;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  const total = range?.[2] === "*" ? file.bytes : Number(range?.[2]);
  if (response.status === 206 && Number(range?.[1]) === start && total === file.bytes) return;
  void response.body?.cancel().catch(() => undefined);
  throw new FileError(
    response.status === 206
      ? `The Hub sent another part of ${file.name} than was asked for; the file has changed or a proxy interferes.`
      : `The server does not serve parts of ${file.name}; a proxy between here and the Hub may prevent it.`,
  );
}

function partLength(file: RemoteFile, { partBytes }: State, part: number): number {
  return Math.min(partBytes, file.bytes - part * partBytes);
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

async function verify(path: string, file: RemoteFile, signal: AbortSignal | undefined): Promise<void> {
  const hash: Hash = createHash(file.sha256 === undefined ? "sha1" : "sha256");
  // Git hashes a blob behind a header with its length.
  if (file.sha256 === undefined) hash.update(`blob ${file.bytes}\0`);
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    if (signal?.aborted) throw new AbortError("The download was aborted.", { cause: signal.reason });
    hash.update(piece);
  }
  const found = hash.digest("hex");
  if (found === (file.sha256 ?? file.blob)) return;
  await rm(path, { force: true });
  await rm(path.replace(/part$/, "state"), { force: true });
  throw new FileError(
    `${file.name} came damaged: its hash is ${found}, not ${file.sha256 ?? file.blob}. It was thrown away; download it again.`,
  );
}

async function readState(path: string, partial: string, bytes: number, partBytes: number): Promise<State> {
  const fresh: State = { bytes, partBytes, done: [] };
  if (!(await stat(partial).catch(() => undefined))) return fresh;
  try {
    const state = JSON.parse(await readFile(path, "utf8")) as State;
    const count = Math.ceil(bytes / partBytes);
    const valid = state.done.every((part) => Number.isInteger(part) && part >= 0 && part < count);
    return state.bytes === bytes && state.partBytes === partBytes && valid ? state : fresh;
  } catch {
    return fresh;
  }
}

async function saveState(path: string, state: State): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify(state));
  await rename(`${path}.tmp`, path);
}
