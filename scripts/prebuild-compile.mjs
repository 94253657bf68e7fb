// Stands in for node-gyp: prebuildify runs it in a staging folder, and it leaves build/Release/node_bitnet.node there.
// scripts/prebuild.mjs names the target in BITNET_TARGET, and zig, where that is to be used, in BITNET_ZIG.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HOST, TARGETS } from "./targets.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const stage = process.cwd();
const out = join(stage, "build");
const require = createRequire(import.meta.url);
const { BITNET_TARGET: name, BITNET_ZIG: zig } = process.env;
const target = TARGETS[name];
/**
 * Lines of shell that turn flags into what zig takes for them. It names every feature that its baseline lacks, and so switches
 * off the one that LLVM 18 to 20 split off AVX-512, which has to be asked for by its own name; and it knows no levels of ARM
 * in -march, but their features in -mcpu. Its headers for macOS take a CPU of Apple's for granted.
 */
const ZIG_FLAGS = `case " $* " in *" -mavx512f "*) set -- "$@" -mevex512 ;; esac
for flag do
  shift
  case $flag in
    -march=armv8.2-a+*) set -- "$@" "-mcpu=${target?.platform === "darwin" ? "apple_m1" : "generic+v8_2a"}+\${flag#-march=armv8.2-a+}" ;;
    *) set -- "$@" "$flag" ;;
  esac
done`;
const jobs = String(availableParallelism());
const run = (file, ...args) => execFileSync(file, args, { stdio: "inherit", cwd: root });

if (zig !== undefined) crossCompile(zigOptions());
else if (name === HOST) cmakeJs();
else if (name === "linux-arm64" && process.platform === "linux") {
  crossCompile(["-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"]);
} else {
  console.error(`No compiler for ${name} on ${HOST}: give one with --zig COMMAND.`);
  process.exit(1);
}

function cmakeJs() {
  const bin = require.resolve("cmake-js/bin/cmake-js");
  run(process.execPath, bin, "compile", "--directory", root, "--out", out, "--parallel", jobs);
}

/** CMake without cmake-js, which knows this machine's compilers only. */
function crossCompile(options) {
  run(
    "cmake",
    ...["-S", root, "-B", out, "-DCMAKE_BUILD_TYPE=Release", `-DCMAKE_SYSTEM_NAME=${target.system}`],
    `-DCMAKE_SYSTEM_PROCESSOR=${target.arch === "x64" ? "x86_64" : "aarch64"}`,
    // Strips: no other program knows every format.
    "-DCMAKE_SHARED_LINKER_FLAGS=-s",
    ...options,
  );
  run("cmake", "--build", out, "--target", "node_bitnet", "--parallel", jobs);
}

function zigOptions() {
  const tools = join(stage, "tools");
  mkdirSync(tools, { recursive: true });
  const tool = (file, ...args) => {
    const path = join(tools, file);
    writeFileSync(path, `#!/bin/sh\n${ZIG_FLAGS}\nexec "${zig}" ${args.join(" ")} "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const options = [
    `-DCMAKE_CXX_COMPILER=${tool("c++", "c++", "-target", target.zig)}`,
    `-DCMAKE_AR=${tool("ar", "ar")}`,
    `-DCMAKE_RANLIB=${tool("ranlib", "ranlib")}`,
  ];
  if (target.platform === "darwin") {
    // CMake looks for Apple's SDK and tools; zig brings its own.
    options.push("-DCMAKE_OSX_SYSROOT=", "-DCMAKE_INSTALL_NAME_TOOL=/bin/true", "-DCMAKE_OSX_DEPLOYMENT_TARGET=");
  }
  if (target.platform === "win32") {
    const library = join(tools, "node.lib");
    const definition = require("node-api-headers").def_paths.node_api_def;
    run(zig, "dlltool", "-m", "i386:x86-64", "-D", "node.exe", "-d", definition, "-l", library);
    options.push(`-DCMAKE_JS_LIB=${library}`, `-DCMAKE_JS_INC=${require("node-api-headers").include_dir}`);
  }
  return options;
}
