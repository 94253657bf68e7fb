import { join } from "node:path";
import { FileError, ModelFormatError } from "../../errors";
import { fileExists, isRecord, readJson } from "../safetensors";
import { cacheFolder, cachedCommit, filesBelow, placeInSnapshot, repoFolder, writeRef } from "./cache";
import { get, readBody, withRetries, type HubConnection } from "./client";
import { checkSpace, downloadBlob, PART_BYTES, type RemoteFile } from "./download";
import { isSafePath, parseHubReference, type HubReference } from "./reference";

/** How far a download is. */
export interface PullProgress {
  /** Bytes on the disk, those of earlier tries included. */
  received: number;
  /** Bytes of the download. */
  total: number;
  /** Files of the download. */
  files: number;
}

/** Options of `pull`. */
export interface PullOptions {
  /** Stops the download; what has come is kept for the next try. */
  signal?: AbortSignal;
  /** Called as bytes come. */
  onProgress?: (progress: PullProgress) => void;
  /** Never uses the network. Default: whether HF_HUB_OFFLINE is set. */
  offline?: boolean;
  /** Takes what is in the cache without asking whether the Hub has something newer. Default false. */
  cached?: boolean;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  endpoint?: string;
  /** Default HF_TOKEN. */
  token?: string;
  /** Folder of the cache. Default: see `cacheFolder`. */
  cache?: string;
  /** Milliseconds before a failed request is tried again, doubled each time. Default 500. */
  retryDelay?: number;
  /** Milliseconds without a byte after which a connection is given up. Default 30,000. */
  stallTimeout?: number;
  /** Bytes of one request. Default 16 MiB. */
  partBytes?: number;
}

/** Where a model is now. */
export interface PulledModel {
  /** The GGUF file, or the folder of a Hugging Face model. */
  path: string;
  /** Its name on the Hub: "owner/name". */
  repo: string;
  /** The revision, as 40 hexadecimal digits. */
  commit: string;
  /** Paths of all files that belong to it. */
  files: string[];
}

/** Files that a folder needs, besides its safetensors. */
const FOLDER_FILES = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "model.safetensors.index.json",
  "1_Pooling/config.json",
]);

const WEIGHTS = /^model(-\d+-of-\d+)?\.safetensors$/;
const MAX_LISTING_BYTES = 32 << 20;

/**
 * Makes a model of the Hub ("hf:owner/name[/file][@revision]") available on this machine, in the cache that Hugging Face's
 * tools share. Without a file: the repository's only GGUF file, else the files of a Hugging Face folder.
 * @throws InvalidOptionError, FileError, AbortError
 */
export async function pull(reference: string, options: PullOptions = {}): Promise<PulledModel> {
  const wanted = parseHubReference(reference);
  const cache = options.cache ?? cacheFolder();
  const folder = repoFolder(cache, wanted.repo);
  const cached = await fromCache(folder, wanted);
  if (cached && options.cached) return cached;
  if (options.offline ?? isOn(environment("HF_HUB_OFFLINE"))) {
    if (cached) return cached;
    throw new FileError(
      `"${reference}" is not in the cache "${cache}", and offline mode is on. Run "node-bitnet pull ${reference}" with a ` +
        `network first.`,
    );
  }
  const connection: HubConnection = {
    endpoint: (options.endpoint ?? environment("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    token: options.token ?? environment("HF_TOKEN"),
    signal: options.signal,
    retryDelay: options.retryDelay ?? 500,
    stallTimeout: options.stallTimeout ?? 30_000,
  };
  const { commit, files } = await readListing(connection, wanted);
  const chosen = choose(wanted, files);
  const total = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
  await checkSpace(cache, await missingBytes(folder, chosen));
  let received = 0;
  const report = (): void => options.onProgress?.({ received, total, files: chosen.length });
  report();
  for (const file of chosen) {
    const onBytes = (count: number): void => {
      received += count;
      report();
    };
    await downloadBlob(connection, join(folder, "blobs"), file, onBytes, options.partBytes ?? PART_BYTES);
    await placeInSnapshot(folder, commit, file.name, file.blob);
  }
  await writeRef(folder, wanted.revision, commit);
  const names = chosen.map(({ name }) => name);
  return { path: pathOf(folder, commit, names), repo: wanted.repo, commit, files: names };
}

/** An empty variable counts as not set. */
function environment(name: string): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && /^(1|true|yes|on)$/i.test(value);
}

function pathOf(folder: string, commit: string, names: readonly string[]): string {
  const snapshot = join(folder, "snapshots", commit);
  const [only = ""] = names;
  return names.length === 1 ? join(snapshot, ...only.split("/")) : snapshot;
}

async function missingBytes(folder: string, files: readonly RemoteFile[]): Promise<number> {
  let bytes = 0;
  for (const file of files) if (!(await fileExists(join(folder, "blobs", file.blob)))) bytes += file.bytes;
  return bytes;
}

async function readListing(
  connection: HubConnection,
  { repo, revision }: HubReference,
): Promise<{ commit: string; files: RemoteFile[] }> {
  const what = `model "${repo}" at revision "${revision}"`;
  const url = `${connection.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const json = await withRetries(connection, async () => {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of readBody(connection, await get(connection, url, what), what)) {
      bytes += piece.length;
      if (bytes > MAX_LISTING_BYTES) throw new FileError(`The Hub's list of ${what} is too long.`);
      pieces.push(piece);
    }
    try {
      return JSON.parse(Buffer.concat(pieces).toString("utf8")) as unknown;
    } catch (error) {
      throw new FileError(`The Hub's answer for ${what} is no JSON.`, { cause: error });
    }
  });
  const commit = isRecord(json) ? json.sha : undefined;
  const siblings: unknown = isRecord(json) ? json.siblings : undefined;
  if (typeof commit !== "string" || !/^[0-9a-f]{40}$/.test(commit) || !Array.isArray(siblings)) {
    throw new FileError(`The Hub's answer for ${what} names no commit and files.`);
  }
  const files = siblings.filter(isRecord).flatMap((entry) => remoteFile(connection, repo, commit, entry));
  return { commit, files };
}

/** A file of the listing; none where it cannot be one that is wanted. */
function remoteFile(
  connection: HubConnection,
  repo: string,
  commit: string,
  entry: Record<string, unknown>,
): RemoteFile[] {
  const { rfilename: name, lfs, blobId } = entry;
  const sha256 = isRecord(lfs) ? lfs.sha256 : undefined;
  const bytes = isRecord(lfs) ? lfs.size : entry.size;
  // Names and hashes become paths here: what is not plainly one is left out.
  if (typeof name !== "string" || !isSafePath(name)) return [];
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0) return [];
  const large = typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256);
  const small = typeof blobId === "string" && /^[0-9a-f]{40}$/.test(blobId);
  if (!large && !small) return [];
  const url = `${connection.endpoint}/${repo}/resolve/${commit}/${name.split("/").map(encodeURIComponent).join("/")}`;
  return [{ name, url, bytes, blob: large ? sha256 : (blobId as string), sha256: large ? sha256 : undefined }];
}

function choose({ repo, file }: HubReference, files: readonly RemoteFile[]): RemoteFile[] {
  const ggufs = files.filter(({ name }) => name.toLowerCase().endsWith(".gguf"));
  const list = (found: readonly RemoteFile[]): string => found.map(({ name }) => `"${name}"`).join(", ");
  if (file !== undefined) {
    const found = files.filter(({ name }) => name === file);
    if (found.length === 1) return found;
    throw new FileError(
      `"${repo}" has no file "${file}".${ggufs.length > 0 ? ` Its GGUF files are ${list(ggufs)}.` : ""}`,
    );
  }
  if (ggufs.length === 1) return ggufs;
  if (ggufs.length > 1) {
    const [first] = ggufs;
    throw new FileError(
      `"${repo}" has ${ggufs.length} GGUF files: ${list(ggufs)}. Name one, for example "hf:${repo}/${first?.name ?? ""}".`,
    );
  }
  const folder = files.filter(({ name }) => FOLDER_FILES.has(name) || WEIGHTS.test(name));
  const has = (test: (name: string) => boolean): boolean => folder.some(({ name }) => test(name));
  if (has((name) => name === "config.json") && has((name) => WEIGHTS.test(name))) {
    // Weights last: a folder in the cache that has them has all the rest too, wherever a download was stopped.
    return [...folder.filter(({ name }) => !WEIGHTS.test(name)), ...folder.filter(({ name }) => WEIGHTS.test(name))];
  }
  throw new FileError(
    `"${repo}" has neither a GGUF file nor config.json with safetensors weights; it is no model that can be run.`,
  );
}

/** What an earlier download left; undefined where that is nothing whole. */
async function fromCache(folder: string, { repo, file, revision }: HubReference): Promise<PulledModel | undefined> {
  const commit = await cachedCommit(folder, revision);
  if (commit === undefined) return undefined;
  const snapshot = join(folder, "snapshots", commit);
  if (file !== undefined) {
    const path = join(snapshot, ...file.split("/"));
    return (await fileExists(path)) ? { path, repo, commit, files: [file] } : undefined;
  }
  const names = await cachedNames(snapshot);
  return names && { path: pathOf(folder, commit, names), repo, commit, files: names };
}

async function cachedNames(snapshot: string): Promise<string[] | undefined> {
  const names = await filesBelow(snapshot);
  const ggufs = names.filter((name) => name.toLowerCase().endsWith(".gguf"));
  if (ggufs.length === 1) return ggufs;
  // Which one is meant is the Hub's list to say.
  if (ggufs.length > 1) return undefined;
  const index = join(snapshot, "model.safetensors.index.json");
  if (!names.includes("config.json")) return undefined;
  if (names.includes("model.safetensors")) return names;
  if (!(await fileExists(index))) return undefined;
  const json = await readJson(index, MAX_LISTING_BYTES);
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) throw new ModelFormatError(`"${index}" has no object "weight_map".`);
  return Object.values(map).every((name) => names.includes(name as string)) ? names : undefined;
}
