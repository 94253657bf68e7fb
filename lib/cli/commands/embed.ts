import { Option, type Command } from "commander";
import type { Pooling } from "../../engine";
import { readStandardInput } from "../input";
import { interruptSignal } from "../interrupt";
import { addModelOptions, withModel, type ModelFlags } from "../model_options";
import { countArgument } from "../numbers";
import { print } from "../output";

interface Flags extends ModelFlags {
  pooling?: Pooling;
  dimensions?: number;
  truncate?: boolean;
  normalize: boolean;
}

/** `node-bitnet embed [texts...]` */
export function addEmbed(program: Command): void {
  const command = program
    .command("embed")
    .description("Print the vectors of texts, one JSON array a line")
    .argument("[texts...]", "texts (default: the lines of standard input)")
    .addOption(
      new Option("--pooling <kind>", "what a text's vector is made of (default: the model's)").choices([
        "mean",
        "last",
        "first",
      ]),
    )
    .option("--dimensions <n>", "keep the first so many numbers (default: all)", countArgument)
    .option("--truncate", "cut texts that are too long, in place of refusing them")
    .option("--no-normalize", "keep the vectors' lengths (default: scaled to 1)");
  addModelOptions(command).action(embed);
}

async function embed(texts: string[], flags: Flags): Promise<void> {
  const { pooling, dimensions, truncate, normalize } = flags;
  const list = texts.length > 0 ? texts : (await readStandardInput()).split(/\r?\n/);
  await withModel(flags, async (model) => {
    const vectors = await model.embed(list, {
      normalize,
      ...(pooling === undefined ? {} : { pooling }),
      ...(dimensions === undefined ? {} : { dimensions }),
      ...(truncate === undefined ? {} : { truncate }),
      signal: interruptSignal(),
    });
    for (const vector of vectors) await print(JSON.stringify(Array.from(vector)));
  });
}
