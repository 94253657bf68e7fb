import type { Command } from "commander";
import { measurePerplexity } from "../../benchmark";
import { compareModels } from "../../benchmark/compare";
import { InvalidOptionError } from "../../errors";
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
  stride?: number;
  against?: string;
  againstKernel?: string;
  json?: boolean;
}

const PROCEDURE = `
The text is encoded as a whole, without special tokens, and read in pieces of
window - 1 tokens, each alone behind the model's beginning-of-sequence token.
Pieces begin a stride apart; every token of the text is scored once.`;

/** `node-bitnet perplexity --file TEXT` */
export function addPerplexity(program: Command): void {
  const command = program
    .command("perplexity")
    .description("Measure how well a model predicts a text")
    .requiredOption("-f, --file <text>", "UTF-8 text file")
    .option("--window <n>", "tokens that are read at a time (default: 512, or a shorter context)", countArgument)
    .option("--stride <n>", "tokens from one window to the next (default: no overlap)", countArgument)
    .option("--against <model>", "compare with another model of the same vocabulary: divergence and agreement")
    .option("--against-kernel <name>", "compare with another kernel, of the same model or the one of --against")
    .option("--json", "print { perplexity, nll, standardError, tokens }; nll is the mean per token")
    .addHelpText("after", PROCEDURE);
  addModelOptions(command).action(perplexity);
}

async function perplexity(flags: Flags): Promise<void> {
  const text = await readTextFile(flags.file);
  await withModel(flags, async (model) => {
    if (flags.against !== undefined || flags.againstKernel !== undefined) return compare(model, text, flags);
    const progress = new Progress("scoring");
    try {
      const result = await measurePerplexity(model, text, {
        ...(flags.window === undefined ? {} : { window: flags.window }),
        ...(flags.stride === undefined ? {} : { stride: flags.stride }),
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

/** The model of the flags is measured against another one, or against itself with another kernel. */
async function compare(model: Model, text: string, flags: Flags): Promise<void> {
  const { against, againstKernel, stride } = flags;
  if (stride !== undefined) throw new InvalidOptionError("--stride is for perplexity; a comparison has no overlap.");
  const others = {
    ...flags,
    ...(against === undefined ? {} : { model: against }),
    ...(againstKernel === undefined ? {} : { kernel: againstKernel }),
  };
  await withModel(others, async (other) => {
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
