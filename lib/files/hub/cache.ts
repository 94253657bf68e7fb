import type { Stats } from "node:fs";
import { copyFile, link, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { cannotWrite, writeFileAtomically } from "../atomic_file";
import { isSafePath } from "./reference";

/**
 * The cache that Hugging Face's own tools use, so that models are on the disk once: `models--<owner>--<name>/` with
 * `blobs/<hash>`, `snapshots/<commit>/<file>` (links to blobs) and `refs/<revision>` (a commit).
 */

/** A model in the cache. */
export interface CachedModel {
  repo: string;
  /** Folder of the model in the cache. */
  path: string;
  /** Bytes on the disk. */
  bytes: number;
  revisions: { commit: string; refs: string[]; files: string[] }[];
}

/** Where the cache is: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE: cache, HF_HOME: home, XDG_CACHE_HOME: xdg } = environment;
  // An empty variable counts as not set, as shells can hardly say otherwise.
  if (cache) return cache;
  if (home) return join(home, "hub");
  return join(xdg === undefined || xdg === "" ? join(homedir(), ".cache") : xdg, "huggingface", "hub");
}

/** The folder of one model. */
export function repoFolder(cache: string, repo: string): string {
  return join(cache, `models--${repo.replaceAll("/", "--")}`);
}

/** The commit that a revision meant when it was last asked for; a commit is itself. */
export async function cachedCommit(folder: string, revision: string): Promise<string | undefined> {
  if (!isSafePath(revision)) return undefined;
  const text = await readFile(join(folder, "refs", ...revision.split("/")), "utf8").catch(() => undefined);
  const commit = text?.trim() ?? revision;
  return /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** Keeps what a revision means. @throws FileError */
export async function writeRef(folder: string, revision: string, commit: string): Promise<void> {
  if (revision === commit || !isSafePath(revision)) return;
  const path = join(folder, "refs", ...revision.split("/"));
  await writeFileAtomically(path, async (handle) => handle.writeFile(commit));
}

/** Puts a blob into a snapshot, as a link where the system has links. @throws FileError */
export async function placeInSnapshot(folder: string, commit: string, file: string, blob: string): Promise<string> {
  const path = join(folder, "snapshots", commit, ...file.split("/"));
  const source = join(folder, "blobs", blob);
  try {
    await mkdir(dirname(path), { recursive: true });
    if (await stat(path).catch(() => undefined)) return path;
    await rm(path, { force: true });
  } catch (error) {
    throw cannotWrite(path, error);
  }
  const ways = [
    () => symlink(relative(dirname(path), source), path),
    () => link(source, path),
    () => copyWhole(source, path),
  ];
  for (const [i, way] of ways.entries()) {
    try {
      await way();
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return path;
      if (i === ways.length - 1) throw cannotWrite(path, error);
    }
  }
  return path;
}

/** Copies so that the name never shows a part. */
async function copyWhole(source: string, path: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await copyFile(source, temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The models in the cache, by name. */
export async function listCache(cache: string): Promise<CachedModel[]> {
  const entries = await readdir(cache).catch(() => [] as string[]);
  const models: CachedModel[] = [];
  for (const entry of entries.sort()) {
    if (!entry.startsWith("models--")) continue;
    const path = join(cache, entry);
    const refs = new Map<string, string[]>();
    for (const ref of await filesBelow(join(path, "refs"))) {
      const commit = await cachedCommit(path, ref);
      if (commit) refs.set(commit, [...(refs.get(commit) ?? []), ref]);
    }
    const revisions: CachedModel["revisions"] = [];
    for (const commit of await readdir(join(path, "snapshots")).catch(() => [] as string[])) {
      const files = await filesBelow(join(path, "snapshots", commit));
      revisions.push({ commit, refs: refs.get(commit) ?? [], files });
    }
    // Two dashes stand for the slash; the first ones, since owners have none of their own.
    models.push({ repo: entry.slice(8).replace("--", "/"), path, bytes: await bytesBelow(path), revisions });
  }
  return models;
}

/** Removes a model with all its revisions. @returns bytes freed; undefined where it was not there */
export async function removeFromCache(cache: string, repo: string): Promise<number | undefined> {
  const folder = repoFolder(cache, repo);
  const stats = await lstat(folder).catch(() => undefined);
  if (!stats?.isDirectory()) return undefined;
  const bytes = await bytesBelow(folder);
  await rm(folder, { recursive: true, force: true });
  return bytes;
}

/** Paths of the files below a folder, relative to it, with slashes; links included. */
export async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const files: string[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory()) files.push(prefix + entry.name);
    else files.push(...(await filesBelow(join(folder, entry.name), `${prefix}${entry.name}/`)));
  }
  return files.sort();
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const file of await filesBelow(folder)) {
    const stats: Stats | undefined = await lstat(join(folder, ...file.split("/"))).catch(() => undefined);
    if (stats?.isFile()) bytes += stats.size;
  }
  return bytes;
}
