import { Option, type Command } from "commander";
import { KV_TYPES, type KvType, type ModelOptions } from "../engine";
import { Model } from "../model";
import { interruptSignal } from "./interrupt";
import { countArgument } from "./numbers";
import { Progress } from "./progress";

/** The options of all commands that run a model. */
export interface ModelFlags {
  model?: string;
  threads?: number;
  kernel?: string;
  context?: number;
  kvType?: KvType;
  memoryLimit?: string;
}

/** Adds `--model`, `--threads` and so on to a command. `threads: false` leaves that one to the command. */
export function addModelOptions(command: Command, { threads = true } = {}): Command {
  command.option(
    "-m, --model <file>",
    'GGUF file, folder or "hf:owner/name" (default: the model that ships with the package)',
  );
  if (threads) command.option("-t, --threads <n>", "threads that compute (default: the physical cores)", countArgument);
  return command
    .option("--kernel <name>", "kernel or instruction set; results are the same with each (default: the fastest)")
    .option("-c, --context <n>", "longest text in tokens (default: the model's, at most 4096)", countArgument)
    .addOption(new Option("--kv-type <type>", "precision of the KV cache (default: f16)").choices(KV_TYPES))
    .option("--memory-limit <size>", 'most memory to use, "512MB" for example (default: no limit)');
}

/** The flags as options of `Model.load`. */
export function modelOptions(flags: ModelFlags): ModelOptions {
  const { threads, kernel, context, kvType, memoryLimit } = flags;
  return {
    ...(threads === undefined ? {} : { threads }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(context === undefined ? {} : { contextLength: context }),
    ...(kvType === undefined ? {} : { kvType }),
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
  };
}

/** Loads the model of the flags for as long as `use` takes, with a progress bar on a terminal. */
export async function withModel<T>(flags: ModelFlags, use: (model: Model) => Promise<T>): Promise<T> {
  const progress = new Progress("loading");
  let model: Model;
  try {
    model = await Model.load(flags.model, {
      ...modelOptions(flags),
      signal: interruptSignal(),
      onProgress: (share) => progress.share(share),
    });
  } finally {
    progress.clear();
  }
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}
