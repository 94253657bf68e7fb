import { Option, type Command } from "commander";
import { compareBuilds } from "../../benchmark";
import { interruptSignal } from "../interrupt";
import { countArgument } from "../numbers";
import { print, printJson, table } from "../output";
import { Progress } from "../progress";

interface Flags {
  rounds: number;
  json?: boolean;
}

/** `node-bitnet bench compare` */
export function addBenchCompare(bench: Command): void {
  bench
    .command("compare")
    .description("Measure two builds of node-bitnet in turn; what stands behind -- goes to `bench model` of both")
    .argument("<a>", "folder of a package with dist/, the one to compare with")
    .argument("<b>", "folder of the other")
    .argument("[arguments...]", "arguments of `bench model`, behind --")
    .addOption(new Option("--rounds <n>", "times that each is measured").argParser(countArgument).default(5))
    .option("--json", "print [{ test, threads, unit, a, b, ratio, spread }]")
    .action(run);
}

async function run(a: string, b: string, rest: string[], { rounds, json }: Flags): Promise<void> {
  const progress = new Progress("measuring");
  try {
    const lines = await compareBuilds(a, b, {
      arguments: rest,
      rounds,
      signal: interruptSignal(),
      onStep: (step) => progress.step(step),
    });
    progress.clear();
    if (json) {
      await printJson(lines);
      return;
    }
    const round = (value: number): number => Number(value.toFixed(1));
    const rows = lines.map(({ test, threads, unit, a: first, b: second, ratio, spread }) => [
      ...[test, threads, unit, round(first), round(second), Number(ratio.toFixed(3))],
      spread.map((value) => value.toFixed(3)).join(" to "),
    ]);
    await print(table([["test", "threads", "unit", "A", "B", "B / A", "spread"], ...rows]));
  } finally {
    progress.clear();
  }
}
