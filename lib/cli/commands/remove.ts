import type { Command } from "commander";
import { formatBytes } from "../../engine";
import { FileError } from "../../errors";
import { cacheFolder, parseHubReference, removeFromCache } from "../../files/hub";
import { print } from "../output";

/** `node-bitnet remove <model>` */
export function addRemove(program: Command): void {
  program
    .command("remove")
    .description("Remove a model, with all its files and revisions, from the cache")
    .argument("<model>", '"hf:owner/name"')
    .action(remove);
}

async function remove(model: string): Promise<void> {
  const { repo } = parseHubReference(model);
  const cache = cacheFolder();
  const bytes = await removeFromCache(cache, repo);
  if (bytes === undefined) throw new FileError(`"hf:${repo}" is not in the cache "${cache}".`);
  await print(`Removed hf:${repo} (${formatBytes(bytes)}).`);
}
