// Packs the package as it would be published, for the tests of the packed tarball.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HOST, TARGETS } from "./targets.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Packs into `folder`; where there is no prebuilt binary, that of the build is taken, and that of `npm run test:neon`.
 * @returns {{ tarball: string, size: number, unpackedSize: number, files: { path: string }[] }}
 */
export function pack(folder) {
  const borrowed = [borrow(HOST, "build"), borrow("linux-arm64", "build-arm64")].filter((file) => file !== undefined);
  try {
    const output = npm(root, process.env, "pack", "--json", "--ignore-scripts", "--pack-destination", folder);
    const [{ filename, ...rest }] = JSON.parse(output);
    return { tarball: join(folder, filename), ...rest };
  } finally {
    for (const file of borrowed) rmSync(file);
  }
}

/** Puts a build's binary where a prebuilt one would lie, if there is none; its path, if it did. */
function borrow(name, build) {
  const { platform, arch, libc } = TARGETS[name] ?? { platform: process.platform, arch: process.arch };
  const folder = join(root, `prebuilds/${platform}-${arch}`);
  const binary = join(root, build, "Release/node_bitnet.node");
  if (!existsSync(binary) || (existsSync(folder) && readdirSync(folder).length > 0)) return undefined;
  const file = join(folder, `node-bitnet${libc ? `.${libc}` : ""}.node`);
  mkdirSync(folder, { recursive: true });
  cpSync(binary, file);
  console.log(`-- prebuilds/${platform}-${arch} is missing: ${build}'s binary is packed in its place`);
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
