import type { Command } from "commander";
import { measurePerplexity } from "../../benchmark";
import { readTextFile } from "../input";
import { interruptSignal } from "../interrupt";
import { addModelOptions, withModel, type ModelFlags } from "../model_options";
import { countArgument } from "../numbers";
import { print, printJson } from "../output";
import { Progress } from "../progress";

interface Flags extends ModelFlags {
  file: string;
  window?: number;
  json?: boolean;
}

const PROCEDURE = `
The text is encoded as a whole, without special tokens, and cut into consecutive
pieces of window - 1 tokens. Each piece is read alone behind the model's
beginning-of-sequence token, and every token of it is scored.`;

/** `node-bitnet perplexity --file TEXT` */
export function addPerplexity(program: Command): void {
  const command = program
    .command("perplexity")
    .description("Measure how well a model predicts a text")
    .requiredOption("-f, --file <text>", "UTF-8 text file")
    .option("--window <n>", "tokens that are read at a time (default: 512, or a shorter context)", countArgument)
    .option("--json", "print { perplexity, nll, tokens }; nll is the mean per token")
    .addHelpText("after", PROCEDURE);
  addModelOptions(command).action(perplexity);
}

async function perplexity(flags: Flags): Promise<void> {
  const text = await readTextFile(flags.file);
  await withModel(flags, async (model) => {
    const progress = new Progress("scoring");
    try {
      const result = await measurePerplexity(model, text, {
        ...(flags.window === undefined ? {} : { window: flags.window }),
        signal: interruptSignal(),
        onProgress: (share) => progress.share(share),
      });
      progress.clear();
      if (flags.json) await printJson(result);
      else {
        const { perplexity: value, nll, tokens } = result;
        await print(`perplexity ${value.toFixed(4)} (${nll.toFixed(5)} nats per token, ${tokens} tokens)`);
      }
    } finally {
      progress.clear();
    }
  });
}
