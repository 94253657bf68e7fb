// Packs the package as it would be published, for the tests of the packed tarball.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HOST, TARGETS } from "./targets.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Packs into `folder`; the binary of the build is taken where there is no prebuilt one.
 * @returns {{ tarball: string, size: number, unpackedSize: number, files: { path: string }[] }}
 */
export function pack(folder) {
  const borrowed = borrowBuild();
  try {
    const output = npm(root, process.env, "pack", "--json", "--ignore-scripts", "--pack-destination", folder);
    const [{ filename, ...rest }] = JSON.parse(output);
    return { tarball: join(folder, filename), ...rest };
  } finally {
    if (borrowed !== undefined) rmSync(borrowed);
  }
}

/** Puts the build's binary where a prebuilt one would lie, if there is none. */
function borrowBuild() {
  const { platform, arch, libc } = TARGETS[HOST] ?? { platform: process.platform, arch: process.arch };
  const folder = join(root, `prebuilds/${platform}-${arch}`);
  if (existsSync(folder) && readdirSync(folder).length > 0) return undefined;
  const file = join(folder, `node-bitnet${libc ? `.${libc}` : ""}.node`);
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, "build/Release/node_bitnet.node"), file);
  console.log(`-- prebuilds/${platform}-${arch} is missing: the build's own binary is packed in its place`);
  return file;
}

/** Runs npm, also where PATH has none. */
export function npm(cwd, env, ...args) {
  const cli = process.env.npm_execpath ?? realpathSync(execFileSync("which", ["npm"], { encoding: "utf8" }).trim());
  const [program, before] = cli?.endsWith(".js") ? [process.execPath, [cli]] : ["npm", []];
  return execFileSync(program, [...before, ...args], {
    cwd,
    encoding: "utf8",
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
}
