// Makes prebuilds/<platform>-<arch>/node-bitnet[.<libc>].node with prebuildify, which runs scripts/prebuild-compile.mjs in
// place of node-gyp. One binary a target holds the kernels of every CPU level.
//
// Usage: npm run prebuilds [-- [--zig COMMAND] TARGET...]       Default: this machine's own target.
//
//   <this machine's target>         its own compiler (GCC, Clang or MSVC) through cmake-js
//   any target with --zig COMMAND   zig's C++ compiler, which brings every C library: `--zig zig`
//   linux-arm64 on Linux x64        without --zig: Debian's aarch64-linux-gnu-g++
//
// The script is not called "prebuild", which npm would run before every "build".
//
// Binaries for glibc must be made by zig, or on a system as old as glibc 2.28 (scripts/check-symbols.mjs looks, and also
// whether the linker left something out).
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { HOST, TARGETS } from "./targets.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const prebuildify = createRequire(import.meta.url)("prebuildify");
const { values, positionals } = parseArgs({ options: { zig: { type: "string" } }, allowPositionals: true });
const names = positionals.length > 0 ? positionals : [HOST];

for (const name of names) {
  const target = TARGETS[name];
  if (!target) {
    console.error(`Unknown target "${name}". Targets: ${Object.keys(TARGETS).join(", ")}`);
    process.exit(2);
  }
  await build(name, target);
}

async function build(name, target) {
  const stage = join(root, "build-prebuild", name);
  mkdirSync(stage, { recursive: true });
  writeFileSync(join(stage, "package.json"), '{ "name": "node-bitnet" }\n');
  rmSync(join(stage, "build/Release"), { recursive: true, force: true });
  // What a compiler can do is asked anew: the answers are kept otherwise, also where its flags have changed.
  rmSync(join(stage, "build/CMakeCache.txt"), { force: true });
  const own = name === HOST && values.zig === undefined;
  process.env.BITNET_TARGET = name;
  if (values.zig !== undefined) process.env.BITNET_ZIG = zigPath(values.zig);
  await new Promise((resolve, reject) => {
    prebuildify(
      {
        napi: true,
        strip: own,
        name: "node-bitnet",
        tagLibc: target.libc !== undefined,
        libc: target.libc ?? "",
        platform: target.platform,
        arch: target.arch,
        cwd: stage,
        out: root,
        nodeGyp: compiler(stage),
      },
      (error) => (error ? reject(error) : resolve()),
    );
  });
  const file = `prebuilds/${target.platform}-${target.arch}/node-bitnet${target.libc ? `.${target.libc}` : ""}.node`;
  if (target.platform === "linux") {
    const tools = target.arch === "arm64" && process.arch !== "arm64" ? ["--tools", "aarch64-linux-gnu-"] : [];
    const check = [join(root, "scripts/check-symbols.mjs"), "--binary", join(root, file), ...tools];
    execFileSync(process.execPath, check, { stdio: "inherit" });
  }
  console.log(`${file}: ${statSync(join(root, file)).size} bytes`);
}

/** The command that prebuildify starts. On Windows it goes through the shell; elsewhere it must be a program. */
function compiler(stage) {
  const script = join(root, "scripts/prebuild-compile.mjs");
  if (process.platform === "win32") return `"${process.execPath}" "${script}"`;
  const shim = join(stage, "node-gyp");
  writeFileSync(shim, `#!/bin/sh\nexec "${process.execPath}" "${script}" "$@"\n`);
  chmodSync(shim, 0o755);
  return shim;
}

function zigPath(command) {
  if (existsSync(command)) return fileURLToPath(new URL(command, `file://${process.cwd()}/`));
  return execFileSync("which", [command], { encoding: "utf8" }).trim();
}
