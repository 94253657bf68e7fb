// Packs the package and installs the tarball as a stranger would: in an empty folder outside the repository, with neither
// a compiler nor CMake nor Python on PATH. Then runs it in every runtime that can be had from npm.
//
// Usage: npm run test:install [-- --offline | --runtimes A,B]    after `npm run build`; uses prebuilds/ (npm run
// prebuilds), or else the binary of the build. --offline: this Node only. --runtimes: those of test/install/runtimes.mjs
// whose names contain one of the words. The last line reads "<n> passed, <n> failed".
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { cases } from "../test/install/cases.mjs";
import { findRuntimes } from "../test/install/runtimes.mjs";
import { npm, pack, root } from "./packing.mjs";

const { values } = parseArgs({
  options: { offline: { type: "boolean", default: false }, runtimes: { type: "string" } },
});
const MEGABYTE = 1e6;
const MOST_PACKED = 12 * MEGABYTE;
const MOST_INSTALLED = 30 * MEGABYTE;

let passed = 0;
let failed = 0;
function check(name, action) {
  try {
    const detail = action();
    passed++;
    console.log(`ok   ${name}${detail ? `: ${detail}` : ""}`);
  } catch (error) {
    failed++;
    const output = [error.stdout, error.stderr].filter((text) => text?.length > 0).join("\n");
    console.log(`FAIL ${name}: ${error.message}\n${output}`);
  }
}

const work = mkdtempSync(join(tmpdir(), "node-bitnet-install-"));
/** What the programs printed: one digest of the same story, wherever they ran. */
const stories = new Set();
try {
  const { tarball, files } = packAndCheck();
  lint(tarball);
  const project = install("a-project", tarball);
  const runtimes = findRuntimes(join(root, "build-install"), values.offline, values.runtimes?.split(","));
  for (const runtime of runtimes) {
    const noBinary =
      runtime.kind === "node-arm64" && !files.some(({ path }) => path.startsWith("prebuilds/linux-arm64/"));
    const missing = runtime.missing ?? (noBinary ? "no binary for it (npm run prebuilds -- linux-arm64)" : undefined);
    if (missing !== undefined) {
      console.log(`skip ${runtime.name}: ${missing}`);
      continue;
    }
    for (const each of cases(project, join(root, "node_modules/typescript/bin/tsc"))) runCase(runtime, each, project);
  }
  if (!values.offline) {
    const other = install("with-the-native-tokenizer", "--omit=optional", tarball, `tokenizers@${peer("tokenizers")}`);
    const [story] = cases(other, "");
    const native = { ...runtimes[0], env: { BITNET_TOKENIZERS: "native" } };
    runCase(native, { ...story, name: "require, native tokenizer, --omit=optional" }, other);
  }
  check("the same story everywhere", () => {
    if (stories.size !== 1) throw new Error([...stories].join(", "));
  });
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

function runCase(runtime, each, project) {
  if (each.only !== undefined && !each.only.includes(runtime.kind)) return;
  check(`${runtime.name}: ${each.name}`, () => {
    const [program, ...before] = runtime.command;
    const output = execFileSync(program, [...before, ...each.args], {
      cwd: project,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...bareEnvironment(), ...runtime.env },
      timeout: 300_000,
    });
    if (!each.expected.test(output)) throw new Error(`unexpected output ${JSON.stringify(output)}`);
    if (output.startsWith("OK ")) stories.add(output.trim());
  });
}

function peer(name) {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8")).peerDependencies[name];
}

function packAndCheck() {
  const { tarball, size, unpackedSize, files } = pack(work);
  const inMegabytes = (bytes) => `${(bytes / MEGABYTE).toFixed(1)} MB`;
  check("packed size", () => {
    if (size > MOST_PACKED) throw new Error(`${inMegabytes(size)} > ${inMegabytes(MOST_PACKED)}`);
    return inMegabytes(size);
  });
  check("installed size, own files", () => {
    if (unpackedSize > MOST_INSTALLED) throw new Error(`${inMegabytes(unpackedSize)} > ${inMegabytes(MOST_INSTALLED)}`);
    return inMegabytes(unpackedSize);
  });
  check("no stray files", () => {
    const stray = files
      .map(({ path }) => path)
      .filter((path) => /^(test|build|docs|bench)|\.tsbuildinfo|\.env/.test(path));
    if (stray.length > 0) throw new Error(stray.join(", "));
    return `${files.length} files`;
  });
  check("no install script", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const found = ["preinstall", "install", "postinstall"].filter((name) => scripts[name] !== undefined);
    if (found.length > 0 || existsSync(join(root, "binding.gyp")))
      throw new Error(`${found.join(", ")} or binding.gyp`);
  });
  return { tarball, files };
}

function lint(tarball) {
  const tool = (name, ...args) =>
    execFileSync(process.execPath, [binOf(name), ...args], { encoding: "utf8", cwd: root });
  check("publint", () => void tool("publint", "run", tarball, "--strict"));
  check("are the types wrong?", () => void tool("@arethetypeswrong/cli", tarball, "--no-color"));
}

function binOf(name) {
  const folder = join(root, "node_modules", name);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : Object.values(bin)[0]);
}

function install(name, ...wanted) {
  const project = join(work, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), `{ "name": "${name}", "version": "1.0.0", "private": true }\n`);
  check(`npm install without a compiler: ${name}`, () => {
    const environment = { ...bareEnvironment(), ...npmSettings() };
    npm(project, environment, "install", "--no-audit", "--no-fund", ...wanted);
    // Only of a package that lies as a file does npm 11 also name the script "prepare", which it doesn't run.
    const { packages } = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8"));
    const scripted = Object.keys(packages).filter((path) => packages[path].hasInstallScript);
    if (scripted.length > 0) throw new Error(`install scripts: ${scripted.join(", ")}`);
    const sizes = readdirSync(join(project, "node_modules"))
      .filter((folder) => !folder.startsWith("."))
      .map((folder) => [folder, folderSize(join(project, "node_modules", folder))])
      .sort((a, b) => b[1] - a[1]);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    const largest = sizes.slice(0, 3).map(([folder, size]) => `${folder} ${(size / MEGABYTE).toFixed(1)}`);
    return `${(total / MEGABYTE).toFixed(1)} MB in all; the largest: ${largest.join(", ")}`;
  });
  cpSync(join(root, "test/install/project"), project, { recursive: true });
  // TypeScript itself comes from the repository; so do the types of Node that a TypeScript project has.
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"), "junction");
  return project;
}

function folderSize(folder) {
  let size = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) size += statSync(join(entry.parentPath ?? entry.path, entry.name)).size;
  }
  return size;
}

/** PATH has Node and a shell, and nothing that could compile. */
function bareEnvironment() {
  const bin = join(work, "bin");
  if (!existsSync(bin)) {
    mkdirSync(bin);
    if (process.platform !== "win32") {
      for (const name of ["sh", "env", "uname"])
        symlinkSync(execFileSync("which", [name], { encoding: "utf8" }).trim(), join(bin, name));
      symlinkSync(process.execPath, join(bin, "node"));
    }
  }
  const path = process.platform === "win32" ? [dirname(process.execPath), process.env.PATH].join(delimiter) : bin;
  const { HOME, USERPROFILE, TMPDIR, TEMP, SystemRoot, APPDATA, LOCALAPPDATA } = process.env;
  const kept = { HOME, USERPROFILE, TMPDIR, TEMP, SystemRoot, APPDATA, LOCALAPPDATA };
  return { PATH: path, ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)) };
}

/** The registry that this machine uses. */
function npmSettings() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^npm_config_(registry|cache|userconfig)$/i.test(name)),
  );
}
