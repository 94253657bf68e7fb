// Checks what the linker was given and what it made, on Linux:
//
//   1. no object compiled for one instruction set defines a weak symbol: the linker could give that copy to code that runs
//      on every CPU, which would then die of an illegal instruction (native/kernels/inline.h);
//   2. the binary asks for nothing newer than glibc 2.28 and GCC 8's libstdc++ (Debian 10, Ubuntu 20.04, RHEL 8);
//   3. it asks others for nothing of its own namespace: a linker does not tell, since Node's functions are missing too.
//
// Usage: node scripts/check-symbols.mjs [--objects FOLDER] [--binary FILE] [--tools PREFIX]
// Without arguments: build/ and build/Release/node_bitnet.node. PREFIX is that of nm and objdump ("aarch64-linux-gnu-").
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Newest versions that a binary may ask for. */
const CEILINGS = { GLIBC: "2.28", GLIBCXX: "3.4.25", CXXABI: "1.3.11", GCC: "8.0.0" };

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: { objects: { type: "string" }, binary: { type: "string" }, tools: { type: "string", default: "" } },
});
const all = values.objects === undefined && values.binary === undefined;
const objects = values.objects ?? (all ? join(root, "build") : undefined);
const binary = values.binary ?? (all ? join(root, "build/Release/node_bitnet.node") : undefined);

const run = (tool, ...args) => execFileSync(values.tools + tool, args, { encoding: "utf8", maxBuffer: 1 << 28 });
const problems = [];

if (objects !== undefined) problems.push(...weakSymbols(join(objects, "CMakeFiles/bitnet_core.dir/native/kernels")));
if (binary !== undefined) problems.push(...wanting(binary));
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

function weakSymbols(kernels) {
  const found = [];
  let count = 0;
  const folders = readdirSync(kernels, { withFileTypes: true });
  for (const { name: isa } of folders.filter((entry) => entry.isDirectory() && entry.name !== "scalar")) {
    for (const name of readdirSync(join(kernels, isa)).filter((each) => each.endsWith(".o"))) {
      count++;
      const object = join(kernels, isa, name);
      const weak = run("nm", "-C", object)
        .split("\n")
        .filter((line) => / [VWvwu] /.test(line));
      for (const line of weak) found.push(`${isa}/${name} defines the weak symbol ${line.trim()}`);
    }
  }
  if (count === 0) found.push(`No objects below ${kernels}: build first (npm run build:native)`);
  if (found.length === 0) console.log(`${count} objects of instruction sets define no weak symbol`);
  return found;
}

function wanting(file) {
  if (!existsSync(file)) return [`${file} does not exist`];
  const newest = {};
  const found = [];
  for (const [, name, version] of run("objdump", "-T", file).matchAll(/\b(GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+)/g)) {
    if (newest[name] === undefined || compare(version, newest[name]) > 0) newest[name] = version;
  }
  for (const [name, version] of Object.entries(newest)) {
    if (compare(version, CEILINGS[name]) > 0) {
      const symbols = run("objdump", "-T", file).match(
        new RegExp(`.*${name}_${version.replaceAll(".", "\\.")}\\b.*`, "g"),
      );
      found.push(`${basename(file)} asks for ${name}_${version}; at most ${CEILINGS[name]} is allowed:`, ...symbols);
    }
  }
  const own = run("objdump", "-T", file).match(/.*\*UND\*.*_ZNK?6bitnet.*/g);
  if (own) found.push(`${basename(file)} lacks parts of itself; compile it anew:`, ...own);
  if (found.length === 0) {
    const list = Object.entries(newest).map(([name, version]) => `${name}_${version}`);
    console.log(`${basename(file)} asks for at most ${list.join(", ") || "nothing versioned"}`);
  }
  return found;
}

function compare(a, b) {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < Math.max(x.length, y.length); i++)
    if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) - (y[i] ?? 0);
  return 0;
}
