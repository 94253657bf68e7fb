/** Inputs that showed a fault once, and a few that reach deep: corpus/<target>/<name>.json. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(__dirname, "corpus");

export function corpusOf(target: string): { name: string; input: unknown }[] {
  const folder = join(ROOT, target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => ({ name, input: JSON.parse(readFileSync(join(folder, name), "utf8")) as unknown }));
}

/** Keeps an input; the path of its file. */
export function keep(target: string, input: unknown): string {
  const json = `${JSON.stringify(input, null, 2)}\n`;
  const folder = join(ROOT, target);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${createHash("sha256").update(json).digest("hex").slice(0, 12)}.json`);
  writeFileSync(path, json);
  return path;
}
