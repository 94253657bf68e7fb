import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { join } from "node:path";
import nodeGypBuild from "node-gyp-build";
import type { Addon } from "../types/addon";
import { AddonLoadError } from "./errors";

/** Folder of the package: the parent of dist/ in an installation, of lib/ when the sources run directly. */
const PACKAGE_ROOT = join(__dirname, "..");

/** `require` by a path that is known at run time only; made here so that bundlers leave the call alone. */
const requireBinary = createRequire(__filename);

let loaded: Addon | undefined;

/**
 * The native addon, loaded on first use, so that importing the package neither fails nor costs anything where no model
 * is run. `NODE_BITNET_PREBUILD=<folder>` makes it look elsewhere (see node-gyp-build).
 *
 * @throws AddonLoadError listing what was tried, why each failed, and the remedy; tried anew on the next call
 */
export function loadAddon(): Addon {
  return (loaded ??= loadAddonFrom(PACKAGE_ROOT, packageVersion()));
}

/** Path of the binary that `loadAddon` takes; undefined if there is none for this system. */
export function addonPath(): string | undefined {
  try {
    return nodeGypBuild.path(PACKAGE_ROOT);
  } catch {
    return undefined;
  }
}

/** Folder of the installed package, for the commands that look at it or build in it. */
export function packageRoot(): string {
  return PACKAGE_ROOT;
}

/** `loadAddon` without its memory, for a package folder and the version that the binary there must have. */
export function loadAddonFrom(root: string, version: string): Addon {
  let file: string | undefined;
  try {
    const found = nodeGypBuild.path(root);
    file = found;
    const addon = requireBinary(found) as Addon;
    if (addon.version === version) return addon;
    throw new Error(`it was built from version ${addon.version}, but the package is version ${version}`);
  } catch (error) {
    throw new AddonLoadError(explain(root, file, error), { cause: error });
  }
}

/** Version of the package. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string };
  return version;
}

function explain(root: string, file: string | undefined, error: unknown): string {
  const platform = `${process.platform}-${process.arch}`;
  const lines = [
    `The native part of node-bitnet could not be loaded on ${systemName()} with Node ${process.versions.node}.`,
    `CPU: ${cpus()[0]?.model.trim() ?? "unknown"}.`,
    file === undefined ? "No binary fits this system. Looked in:" : "Looked in:",
  ];
  for (const folder of ["build/Release", "build/Debug", `prebuilds/${platform}`]) {
    const path = join(root, folder);
    const binaries = binariesIn(path);
    if (binaries.length === 0) lines.push(`  ${path}: no binary`);
    for (const name of binaries) {
      const reason = join(path, name) === file ? oneLine(error) : "not made for this system, or another was preferred";
      lines.push(`  ${join(path, name)}: ${reason}`);
    }
  }
  if (file !== undefined && !file.startsWith(root)) lines.push(`  ${file}: ${oneLine(error)}`);
  lines.push(
    "Remedy: build it from source, which needs CMake 3.20 or newer and a C++17 compiler: npx node-bitnet build",
    "If node_modules was copied from another system or installed with another architecture's Node, reinstall it here.",
  );
  return lines.join("\n");
}

/** Platform, architecture and C library, for example "linux-x64 (glibc 2.36)". */
export function systemName(): string {
  return `${process.platform}-${process.arch}${libc()}`;
}

function binariesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".node"));
  } catch {
    return []; // The folder does not exist.
  }
}

function libc(): string {
  if (process.platform !== "linux") return "";
  // Without this the report looks up the host name of every open connection, which can take seconds.
  const report = process.report as { excludeNetwork?: boolean; getReport(): unknown };
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
  return header?.glibcVersionRuntime === undefined ? " (musl)" : ` (glibc ${header.glibcVersionRuntime})`;
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, "; ");
}
