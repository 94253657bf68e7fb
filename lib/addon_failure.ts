import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";

/** A binary that was tried, and what the system's loader said. */
export interface Attempt {
  file: string;
  error: unknown;
}

const BUILD = "Build it from source, which needs CMake 3.20 or newer and a C++17 compiler: npx node-bitnet build";
const REINSTALL = "Reinstall here what was copied from another system or installed by another Node: npm ci";

/** What the loader of some system says (Linux with glibc or musl, macOS, Windows), and what helps. The first that fits. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/built from version/, "Reinstall the package, or build its binary anew: npx node-bitnet build"],
  [/GLIBC_[\d.]+.*not found/, `This C library is older than glibc 2.28. Take a newer system, or: ${BUILD}`],
  [/GLIBCXX_|CXXABI_/, `The C++ library (libstdc++) is too old. Take a newer one, or: ${BUILD}`],
  [/libstdc\+\+/, "The C++ library is missing: apt-get install libstdc++6, apk add libstdc++, dnf install libstdc++"],
  [/ld-linux|libc\.so\.6|libc\.musl/, `The binary is for another C library. ${BUILD}`],
  [/invalid ELF header|wrong ELF class|Exec format|mach-o|incompatible architecture|valid Win32/i, REINSTALL],
  [
    /failed to map segment|permission denied|EACCES|Access is denied/i,
    "Allow the file to be read and executed (noexec?)",
  ],
  [/quarantine|code signature|library validation|policy/i, `The system does not trust the binary. ${BUILD}`],
  [
    /specified module could not be found/i,
    "Install the Visual C++ runtime: https://aka.ms/vs/17/release/vc_redist.x64.exe",
  ],
  [/self-register|NODE_MODULE_VERSION|napi_|node_api_|undefined symbol/i, "Node.js 20 or newer is needed."],
];

/**
 * The message of `AddonLoadError`: system, CPU, what was tried, why each failed, what to do.
 *
 * @param system platform, architecture and C library
 * @param folders those that were looked in
 */
export function explainFailure(system: string, folders: readonly string[], attempts: readonly Attempt[]): string {
  const model = cpus()[0]?.model.trim();
  const lines = [
    `The native part of node-bitnet could not be loaded on ${system} with ${runtime()}.`,
    `CPU: ${model === undefined || model === "" ? "unknown" : model} (${process.arch}).`,
    attempts.length === 0 ? "No binary fits this system. Looked in:" : "Looked in:",
  ];
  for (const folder of folders) {
    const names = binariesIn(folder);
    if (names.length === 0) lines.push(`  ${folder}: no binary`);
    for (const name of names) {
      const file = join(folder, name);
      if (!attempts.some((attempt) => attempt.file === file)) lines.push(`  ${file}: not for this system, not tried`);
    }
    for (const { file, error } of attempts) if (dirname(file) === folder) lines.push(`  ${file}: ${oneLine(error)}`);
  }
  for (const { file, error } of attempts) {
    if (!folders.includes(dirname(file))) lines.push(`  ${file}: ${oneLine(error)}`);
  }
  for (const remedy of remediesOf(attempts)) lines.push(`Remedy: ${remedy}`);
  return lines.join("\n");
}

/** At least one; each once, in the order of the attempts. */
function remediesOf(attempts: readonly Attempt[]): Set<string> {
  const remedies = new Set<string>();
  for (const { error } of attempts) {
    const reason = oneLine(error);
    remedies.add(REMEDIES.find(([pattern]) => pattern.test(reason))?.[1] ?? BUILD);
  }
  if (attempts.length === 0) {
    if (process.arch !== "x64" && process.arch !== "arm64") {
      remedies.add(`No binaries are made for ${process.arch}: use a 64-bit Node.js if the CPU has 64 bits.`);
    }
    remedies.add(BUILD);
    remedies.add(REINSTALL);
  }
  return remedies;
}

/** The program that runs this, with its version: "Node 20.20.2". */
export function runtime(): string {
  const { bun, deno, electron, node } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined) return `Bun ${bun}`;
  if (deno !== undefined) return `Deno ${deno}`;
  return `Node ${node ?? "?"}${electron === undefined ? "" : ` in Electron ${electron}`}`;
}

/** Names of the binaries in a folder; none if there is no folder. */
export function binariesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".node"))
      .sort();
  } catch {
    return [];
  }
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, "; ");
}
