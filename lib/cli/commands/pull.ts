import type { Command } from "commander";
import { pull } from "../../files/hub";
import { interruptSignal } from "../interrupt";
import { print, printJson } from "../output";
import { Progress } from "../progress";
import { Rate } from "../rate";

const HELP = `
hf:owner/name            the repository's only GGUF file, else its safetensors folder
hf:owner/name/file.gguf  one file
hf:owner/name@revision   a branch, tag or commit

An interrupted download goes on where it was. Files are checked by their hashes
and kept in the cache of Hugging Face's tools (HF_HUB_CACHE, HF_HOME). Of the
environment also HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE count.`;

/** `node-bitnet pull <model>` */
export function addPull(program: Command): void {
  program
    .command("pull")
    .description("Download a model from the Hugging Face Hub")
    .argument("<model>", '"hf:owner/name[/file][@revision]"')
    .option("--json", "print { path, repo, commit, files }")
    .addHelpText("after", HELP)
    .action(run);
}

async function run(model: string, flags: { json?: boolean }): Promise<void> {
  const progress = new Progress("downloading");
  const rate = new Rate();
  let shown = 0;
  try {
    const pulled = await pull(model, {
      signal: interruptSignal(),
      onProgress({ received, total }) {
        const now = performance.now();
        if (now - shown < 200 && received < total) return;
        shown = now;
        progress.share(received / Math.max(total, 1), rate.describe(received, total));
      },
    });
    progress.clear();
    await (flags.json ? printJson(pulled) : print(pulled.path));
  } finally {
    progress.clear();
  }
}
