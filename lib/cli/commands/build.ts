import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { loadAddon, packageRoot } from "../../addon";
import { AddonLoadError } from "../../errors";
import { countArgument } from "../numbers";
import { print } from "../output";

interface Flags {
  jobs?: number;
  checkOnly?: boolean;
}

interface Tool {
  name: string;
  /** What was found, or undefined. */
  found: string | undefined;
  /** How to get it. */
  remedy: string;
}

/** Oldest CMake that CMakeLists.txt takes, [major, minor]. */
const OLDEST_CMAKE = [3, 20] as const;

/** `node-bitnet build` */
export function addBuild(program: Command): void {
  program
    .command("build")
    .description("Build the native part from source, where no prebuilt binary fits this system")
    .option("-j, --jobs <n>", "files compiled at the same time (default: the CPUs)", countArgument)
    .option("--check-only", "only say which tools are there and which are missing")
    .action(build);
}

async function build(flags: Flags): Promise<void> {
  const tools = findTools();
  for (const { name, found, remedy } of tools) await print(`${name}: ${found ?? `missing. ${remedy}`}`);
  const missing = tools.filter(({ found }) => found === undefined);
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(", ");
    throw new AddonLoadError(`Cannot build: ${names} missing; see above for what to install.`);
  }
  if (flags.checkOnly) return;
  const root = packageRoot();
  const out = join(root, "build");
  await run("cmake", ["-S", root, "-B", out, "-DCMAKE_BUILD_TYPE=Release"]);
  const jobs = String(flags.jobs ?? availableParallelism());
  await run("cmake", ["--build", out, "--config", "Release", "--target", "node_bitnet", "--parallel", jobs]);
  const { version } = loadAddon();
  await print(`Built ${join(out, "Release", "node_bitnet.node")}, version ${version}; it loads.`);
}

function findTools(): Tool[] {
  return [
    { name: "CMake 3.20 or newer", found: cmake(), remedy: installHint("cmake") },
    { name: "C++17 compiler", found: compiler(), remedy: installHint("compiler") },
    { name: "make or Ninja", found: buildTool(), remedy: installHint("make") },
    { name: "node-addon-api", found: packageFolder("node-addon-api"), remedy: "npm install node-addon-api" },
    { name: "node-api-headers", found: packageFolder("node-api-headers"), remedy: "npm install node-api-headers" },
  ];
}

function cmake(): string | undefined {
  const line = firstLine("cmake", "--version");
  const version = /(\d+)\.(\d+)/.exec(line ?? "");
  const [major, minor] = [Number(version?.[1] ?? 0), Number(version?.[2] ?? 0)];
  const newEnough = major > OLDEST_CMAKE[0] || (major === OLDEST_CMAKE[0] && minor >= OLDEST_CMAKE[1]);
  return newEnough ? line : undefined;
}

function compiler(): string | undefined {
  // CMake finds Visual Studio by itself, without a command on PATH.
  if (process.platform === "win32") return "whichever CMake finds (Visual Studio 2019 or newer)";
  const names = [process.env.CXX, "c++", "g++", "clang++"].filter((name) => name !== undefined && name !== "");
  for (const name of names as string[]) {
    const line = firstLine(name, "--version");
    if (line !== undefined) return line;
  }
  return undefined;
}

function buildTool(): string | undefined {
  if (process.platform === "win32") return "Visual Studio's";
  return firstLine("ninja", "--version") ?? firstLine("make", "--version");
}

function packageFolder(name: string): string | undefined {
  try {
    return require.resolve(`${name}/package.json`, { paths: [packageRoot()] });
  } catch {
    return undefined;
  }
}

function installHint(tool: "cmake" | "compiler" | "make"): string {
  if (process.platform === "darwin") return tool === "cmake" ? "brew install cmake" : "xcode-select --install";
  if (process.platform === "win32")
    return 'winget install Kitware.CMake; Visual Studio with "Desktop development with C++"';
  if (existsSync("/etc/alpine-release")) return "apk add build-base cmake";
  if (existsSync("/etc/debian_version")) return "apt-get install cmake g++ make";
  if (existsSync("/etc/redhat-release")) return "dnf install cmake gcc-c++ make";
  return "Install it with the system's package manager.";
}

function firstLine(command: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout.split(/\r?\n/, 1)[0]?.trim() : undefined;
}

function run(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit" });
    child.on("error", (error) => {
      reject(new AddonLoadError(`${command} could not be started: ${error.message}`, { cause: error }));
    });
    child.on("exit", (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new AddonLoadError(`${command} ${args.join(" ")} ended with ${signal ?? code ?? "an error"}; see above.`),
        );
    });
  });
}
