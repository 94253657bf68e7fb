import type { Command } from "commander";
import { formatBytes } from "../../engine";
import { cacheFolder, listCache } from "../../files/hub";
import { print, printJson, table } from "../output";

/** `node-bitnet list` */
export function addList(program: Command): void {
  program
    .command("list")
    .description("List the models in the cache")
    .option("--json", "print [{ repo, path, bytes, revisions }]")
    .action(list);
}

async function list(flags: { json?: boolean }): Promise<void> {
  const cache = cacheFolder();
  const models = await listCache(cache);
  if (flags.json) return printJson(models);
  if (models.length === 0) return print(`No models in ${cache}.`);
  const rows = models.map(({ repo, bytes, revisions }) => {
    const files = new Set(revisions.flatMap((revision) => revision.files));
    const names = files.size > 3 ? `${files.size} files` : [...files].join(", ");
    return [`hf:${repo}`, formatBytes(bytes), names];
  });
  await print(table(rows));
}
