import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { addBench } from "./commands/bench";
import { addBuild } from "./commands/build";
import { addCache } from "./commands/cache";
import { addChat } from "./commands/chat";
import { addConvert } from "./commands/convert";
import { addDoctor } from "./commands/doctor";
import { addEmbed } from "./commands/embed";
import { addGenerate } from "./commands/generate";
import { addInspect } from "./commands/inspect";
import { addKernels } from "./commands/kernels";
import { addList } from "./commands/list";
import { addPerplexity } from "./commands/perplexity";
import { addPull } from "./commands/pull";
import { addRemove } from "./commands/remove";
import { addServe } from "./commands/serve";
import { addVerify } from "./commands/verify";

/** Every command; adding one is adding its file and a line here. */
const COMMANDS = [
  addGenerate,
  addChat,
  addServe,
  addInspect,
  addPerplexity,
  addConvert,
  addEmbed,
  addPull,
  addList,
  addRemove,
  addCache,
  addVerify,
  addBench,
  addKernels,
  addDoctor,
  addBuild,
];

const EXIT_CODES = `
Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.`;

/** The command line. Parsing throws `CommanderError` in place of ending the process. */
export function makeProgram(): Command {
  const { version } = JSON.parse(readFileSync(join(__dirname, "..", "..", "package.json"), "utf8")) as {
    version: string;
  };
  const program = new Command("node-bitnet")
    .description("Run ternary (BitNet b1.58) language models on the CPU")
    .version(version)
    .showSuggestionAfterError()
    .addHelpText("after", EXIT_CODES);
  for (const add of COMMANDS) add(program);
  exitByThrowing(program);
  return program;
}

/** Commands do not hand this setting down to those that were added to them by name. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitByThrowing);
}
