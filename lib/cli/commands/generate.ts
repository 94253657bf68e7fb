import type { Command } from "commander";
import { InvalidOptionError } from "../../errors";
import type { Chunk, GenerationResult } from "../../generation";
import { addGenerationOptions, generationOptions, type GenerationFlags } from "../generation_options";
import { readStandardInput } from "../input";
import { interruptSignal } from "../interrupt";
import { addModelOptions, withModel, type ModelFlags } from "../model_options";
import { printJson, write } from "../output";

interface Flags extends ModelFlags, GenerationFlags {
  echo?: boolean;
  json?: boolean;
}

/** `node-bitnet generate [prompt]` */
export function addGenerate(program: Command): void {
  const command = program
    .command("generate")
    .description("Continue a text")
    .argument("[prompt]", 'the text to continue; "-" or nothing reads standard input')
    .option("--echo", "print the prompt in front")
    .option("--json", "print { text, tokens, usage, finishReason, timings } when it is complete");
  addModelOptions(addGenerationOptions(command)).action(generate);
}

async function generate(argument: string | undefined, flags: Flags): Promise<void> {
  const prompt = argument === undefined || argument === "-" ? await readStandardInput() : argument;
  if (prompt === "") throw new InvalidOptionError('The prompt is empty; give one, for example "Once upon a time".');
  const options = { ...generationOptions(flags), signal: interruptSignal() };
  await withModel(flags, async (model) => {
    if (flags.json) {
      const { text, tokens, usage, finishReason, timings }: GenerationResult = await model.generate(prompt, options);
      await printJson({ text, tokens, usage, finishReason, timings });
      return;
    }
    if (flags.echo) await write(process.stdout, prompt);
    let last: Chunk | undefined;
    try {
      for await (const chunk of model.stream(prompt, options)) {
        await write(process.stdout, chunk.text);
        last = chunk;
      }
    } finally {
      if (last) await write(process.stdout, "\n");
    }
    if (process.stderr.isTTY && last) await write(process.stderr, summary(last));
  });
}

function summary({ usage, timings, finishReason }: Chunk): string {
  if (!usage || !timings) return "";
  const parts = [
    `${usage.promptTokens} + ${usage.completionTokens} tokens`,
    `prompt ${timings.promptTokensPerSecond.toFixed(1)} tokens/s`,
    `decode ${timings.decodeTokensPerSecond.toFixed(1)} tokens/s`,
    `first token after ${timings.timeToFirstTokenMs.toFixed(0)} ms`,
    `ended by "${finishReason ?? ""}"`,
  ];
  return `\n${parts.join(", ")}\n`;
}
