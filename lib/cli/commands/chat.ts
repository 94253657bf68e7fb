import { createInterface, type Interface } from "node:readline";
import type { Command } from "commander";
import type { ChatSession } from "../../chat";
import { AbortError } from "../../errors";
import { addGenerationOptions, generationOptions, type GenerationFlags } from "../generation_options";
import { INTERRUPTED, interruptSignal } from "../interrupt";
import { addModelOptions, withModel, type ModelFlags } from "../model_options";
import { write } from "../output";

interface Flags extends ModelFlags, GenerationFlags {
  system?: string;
  template?: string;
}

/** `node-bitnet chat` */
export function addChat(program: Command): void {
  const command = program
    .command("chat")
    .description("Talk with a model. Ctrl-C stops the answer, once more leaves; each line of piped input is a message")
    .option("--system <text>", "how the model shall behave")
    .option("--template <name>", "chat template: a built-in name or Jinja source (default: the model's own)");
  addModelOptions(addGenerationOptions(command)).action(chat);
}

async function chat(flags: Flags): Promise<void> {
  await withModel(flags, async (model) => {
    const { system, template } = flags;
    const session = model.chat({
      ...generationOptions(flags),
      ...(system === undefined ? {} : { system }),
      ...(template === undefined ? {} : { template }),
    });
    const lines = createInterface({
      input: process.stdin,
      ...(process.stdin.isTTY ? { output: process.stdout, prompt: "> " } : {}),
    });
    try {
      await new Conversation(session, lines).run();
    } finally {
      lines.close();
      session.close();
    }
  });
}

/** Reads messages line by line and prints the answers. */
class Conversation {
  private answer: AbortController | undefined;
  private readonly interactive = process.stdin.isTTY;

  constructor(
    private readonly session: ChatSession,
    private readonly lines: Interface,
  ) {}

  async run(): Promise<void> {
    // A terminal's Ctrl-C comes through readline; one sent to the process through the signal.
    this.lines.on("SIGINT", () => this.interrupt());
    interruptSignal().addEventListener("abort", () => this.interrupt());
    if (this.interactive) this.lines.prompt();
    for await (const line of this.lines) {
      if (line.trim() !== "") await this.reply(line);
      if (interruptSignal().aborted) throw new AbortError("The conversation was interrupted.");
      if (this.interactive) this.lines.prompt();
    }
    if (process.exitCode === INTERRUPTED) return;
    if (this.interactive) await write(process.stdout, "\n");
  }

  /** Stops the answer; without one, leaves. */
  private interrupt(): void {
    if (this.answer && !this.answer.signal.aborted) {
      this.answer.abort();
      return;
    }
    process.exitCode = INTERRUPTED;
    this.lines.close();
  }

  private async reply(line: string): Promise<void> {
    this.answer = new AbortController();
    try {
      for await (const { text } of this.session.send(line, { signal: this.answer.signal })) {
        await write(process.stdout, text);
      }
      await write(process.stdout, "\n");
    } catch (error) {
      if (!(error instanceof AbortError)) throw error;
      await write(process.stdout, "\n(stopped; the model forgets this question and its answer)\n");
    } finally {
      this.answer = undefined;
    }
  }
}
