import { basename } from "node:path";
import type { Command } from "commander";
import { formatBytes } from "../../engine";
import { clearPacked, listPacked, packedFolder } from "../../files/packed_folder";
import { print, printJson, table } from "../output";

interface Flags {
  folder?: string;
  clear?: boolean;
  json?: boolean;
}

/** `node-bitnet cache` */
export function addCache(program: Command): void {
  program
    .command("cache")
    .description("List the packed weights that make loading fast, or remove them")
    .option("--folder <path>", "folder that holds them (default: the one that loading uses by default)")
    .option("--clear", "remove all of them; the next load packs again")
    .option("--json", "print { folder, files, bytes } or { folder, freedBytes }")
    .action(cache);
}

async function cache({ folder = packedFolder(), clear, json }: Flags): Promise<void> {
  if (clear) {
    const freedBytes = await clearPacked(folder);
    await (json ? printJson({ folder, freedBytes }) : print(`Removed ${formatBytes(freedBytes)} from ${folder}.`));
    return;
  }
  const files = await listPacked(folder);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (json) {
    await printJson({ folder, files, bytes });
    return;
  }
  await print(`${folder}: ${formatBytes(bytes)} of packed weights`);
  if (files.length === 0) return;
  const rows = files.map((file) => [basename(file.path), formatBytes(file.bytes), new Date(file.usedMs).toISOString()]);
  await print(table([["file", "size", "last used"], ...rows]));
}
