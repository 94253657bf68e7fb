import type { Command } from "commander";
import { measurePerplexity } from "../../benchmark";
import { compareModels } from "../../benchmark/compare";
import type { Model } from "../../model";
import { readTextFile } from "../input";
import { interruptSignal } from "../interrupt";
import { addModelOptions, withModel, type ModelFlags } from "../model_options";
import { countArgument } from "../numbers";
import { print, printJson } from "../output";
import { Progress } from "../progress";

interface Flags extends ModelFlags {
  file: string;
  window?: number;
  against?: string;
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
    .option("--against <model>", "compare with another model of the same vocabulary: divergence and agreement")
    .option("--json", "print { perplexity, nll, standardError, tokens }; nll is the mean per token")
    .addHelpText("after", PROCEDURE);
  addModelOptions(command).action(perplexity);
}

async function perplexity(flags: Flags): Promise<void> {
  const text = await readTextFile(flags.file);
  await withModel(flags, async (model) => {
    if (flags.against !== undefined) return compare(model, flags.against, text, flags);
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
        const { perplexity: value, standardError, nll, tokens } = result;
        await print(
          `perplexity ${value.toFixed(4)} +- ${standardError.toFixed(4)} (${nll.toFixed(5)} nats per token, ${tokens} tokens)`,
        );
      }
    } finally {
      progress.clear();
    }
  });
}

/** The model of the flags is measured against another one. */
async function compare(model: Model, against: string, text: string, flags: Flags): Promise<void> {
  await withModel({ ...flags, model: against }, async (other) => {
    const progress = new Progress("comparing");
    try {
      const result = await compareModels(other, model, text, {
        ...(flags.window === undefined ? {} : { window: flags.window }),
        signal: interruptSignal(),
        onProgress: (share) => progress.share(share),
      });
      progress.clear();
      if (flags.json) {
        await printJson(result);
        return;
      }
      const { divergence, standardError, agreement, tokens } = result;
      await print(
        `KL divergence ${divergence.toExponential(3)} +- ${standardError.toExponential(1)} nats per token, ` +
          `the same first token ${(agreement * 100).toFixed(2)} % of the time (${tokens} tokens)`,
      );
    } finally {
      progress.clear();
    }
  });
}
