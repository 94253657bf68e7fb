import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import nodeGypBuild from "node-gyp-build";
import type { Addon } from "../types/addon";
import { type Attempt, binariesIn, explainFailure } from "./addon_failure";
import { AddonLoadError } from "./errors";

/** Folder of the package: the parent of dist/ in an installation, of lib/ when the sources run directly. */
const PACKAGE_ROOT = join(__dirname, "..");

/** `require` by a path that is known at run time only; made here so that bundlers leave the call alone. */
const requireBinary = createRequire(__filename);

interface Loaded {
  addon: Addon;
  file: string;
}

let loaded: Loaded | undefined;

/**
 * The native addon, loaded on first use, so that importing the package neither fails nor costs anything where no model
 * is run. `NODE_BITNET_PREBUILD=<folder>` makes it look elsewhere (see node-gyp-build).
 *
 * @throws AddonLoadError listing what was tried, why each failed, and the remedy; tried anew on the next call
 */
export function loadAddon(): Addon {
  return (loaded ??= loadAddonFrom(PACKAGE_ROOT, packageVersion())).addon;
}

/** Path of the binary that `loadAddon` took or would try first; undefined if there is none for this system. */
export function addonPath(): string | undefined {
  return loaded?.file ?? candidates(PACKAGE_ROOT).next().value;
}

/** Folder of the installed package, for the commands that look at it or build in it. */
export function packageRoot(): string {
  return PACKAGE_ROOT;
}

/** `loadAddon` without its memory, for a package folder and the version that the binary there must have. */
export function loadAddonFrom(root: string, version: string): Loaded {
  const attempts: Attempt[] = [];
  for (const file of candidates(root)) {
    try {
      const addon = requireBinary(file) as Addon;
      if (addon.version === version) return { addon, file };
      throw new Error(`it was built from version ${addon.version}, but the package is version ${version}`);
    } catch (error) {
      attempts.push({ file, error });
    }
  }
  const message = explainFailure(systemName(), foldersOf(root), attempts);
  const [first] = attempts;
  throw new AddonLoadError(message, first ? { cause: first.error } : {});
}

/** Version of the package. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string };
  return version;
}

/**
 * Binaries of this package that may run here, the best first: node-gyp-build's choice, then what else was prebuilt for this
 * system. A build of an older version, or node-gyp-build's belief that only Alpine has musl, must not stand in the way.
 */
function* candidates(root: string): Generator<string, undefined> {
  const preferred = nodeGypBuildPath(root);
  if (preferred !== undefined) yield preferred;
  // "glibc 2.36" fits file.glibc.node; a name without either fits both.
  const unfit = libcName() === "musl" ? ".glibc." : ".musl.";
  const [, , prebuilds] = foldersOf(root);
  for (const name of binariesIn(prebuilds)) {
    const file = join(prebuilds, name);
    if (!name.includes(unfit) && file !== preferred) yield file;
  }
  return undefined;
}

function nodeGypBuildPath(root: string): string | undefined {
  try {
    return nodeGypBuild.path(root);
  } catch {
    return undefined; // It found none.
  }
}

/** Folders that are looked in, in this order. */
function foldersOf(root: string): [string, string, string] {
  const base = process.env.NODE_BITNET_PREBUILD ?? root;
  const prebuilds = `prebuilds/${process.platform}-${process.arch}`;
  return [join(base, "build/Release"), join(base, "build/Debug"), join(base, prebuilds)];
}

/** Platform, architecture and C library, for example "linux-x64 (glibc 2.36)". */
export function systemName(): string {
  const libc = libcName();
  return `${process.platform}-${process.arch}${libc === undefined ? "" : ` (${libc})`}`;
}

/** "glibc 2.36", "glibc" or "musl", on Linux. */
function libcName(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const version = glibcVersion();
  if (version !== undefined) return `glibc ${version}`;
  try {
    return readFileSync("/proc/self/maps", "utf8").includes("/ld-musl-") ? "musl" : "glibc";
  } catch {
    return "C library unknown";
  }
}

function glibcVersion(): string | undefined {
  // Bun and Deno know less of it than Node.
  const report = process.report as { excludeNetwork?: boolean; getReport?: () => unknown } | undefined;
  if (typeof report?.getReport !== "function") return undefined;
  // Without this the report looks up the host name of every open connection, which can take seconds.
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
  return header?.glibcVersionRuntime;
}
