import { Option, type Command } from "commander";
import type { GenerationOptions } from "../generation";
import { collectArgument, countArgument, numberArgument } from "./numbers";

/** The options of all commands that generate text. */
export interface GenerationFlags {
  maxTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  seed?: number;
  stop?: string[];
  ignoreEos?: boolean;
}

/** Adds `--max-tokens`, `--temperature` and so on to a command. */
export function addGenerationOptions(command: Command): Command {
  const numeric = (flags: string, description: string): Option =>
    new Option(flags, description).argParser(numberArgument);
  return command
    .addOption(new Option("-n, --max-tokens <n>", "most tokens to generate").argParser(countArgument).default(256))
    .addOption(numeric("--temperature <t>", "0 takes the likeliest token each time (default: 0.8)"))
    .addOption(numeric("--top-k <k>", "draw from the k likeliest tokens; 0: all (default: 40)"))
    .addOption(numeric("--top-p <p>", "draw from the tokens that make up this probability (default: 0.95)"))
    .addOption(numeric("--min-p <p>", "leave out tokens below this share of the likeliest one (default: 0.05)"))
    .addOption(numeric("--repetition-penalty <x>", "make recent tokens less likely; 1: off (default: 1)"))
    .addOption(numeric("--frequency-penalty <x>", "taken from a logit per occurrence (default: 0)"))
    .addOption(numeric("--presence-penalty <x>", "taken from a logit once the token occurred (default: 0)"))
    .addOption(numeric("--seed <n>", "same seed, same text (default: random)"))
    .option("--stop <text>", "end the text at this string; may be given several times", collectArgument)
    .option("--ignore-eos", "go on when the model ends its text");
}

/** The flags as options of `model.generate`. */
export function generationOptions(flags: GenerationFlags): GenerationOptions {
  const names = [
    ...(["maxTokens", "temperature", "topK", "topP", "minP", "repetitionPenalty"] as const),
    ...(["frequencyPenalty", "presencePenalty", "seed", "stop", "ignoreEos"] as const),
  ];
  const given = names.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]);
  return Object.fromEntries(given) as GenerationOptions;
}
