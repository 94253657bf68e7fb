import { Option, type Command } from "commander";
import { loadAddon } from "../../addon";
import { benchModel, type BenchReport } from "../../benchmark";
import { interruptSignal } from "../interrupt";
import { addModelOptions, modelOptions, type ModelFlags } from "../model_options";
import { countArgument, countsArgument } from "../numbers";
import { print, printJson, table } from "../output";
import { Progress } from "../progress";
import { addBenchCompare } from "./bench_compare";
import { addBenchKernels } from "./bench_kernels";

interface Flags extends Omit<ModelFlags, "threads"> {
  prompt: number;
  generate: number;
  decodePrompt: number;
  threads?: number[];
  repeat: number;
  json?: boolean;
}

/** `node-bitnet bench model` */
export function addBench(program: Command): void {
  const bench = program.command("bench").description("Measure speed");
  const count = (flags: string, description: string, value: number): Option =>
    new Option(flags, description).argParser(countArgument).default(value);
  const command = bench
    .command("model")
    .description("Measure prefill and decode: tokens/s, GB/s of weights, GMAC/s, peak memory")
    .addOption(count("--prompt <n>", "tokens of the prompt that prefill reads", 512))
    .addOption(count("--generate <n>", "tokens that decode generates", 128))
    .addOption(count("--decode-prompt <n>", "tokens of the prompt before decode", 32))
    .option("-t, --threads <list>", "numbers of threads, 1,2 for example (default: the physical cores)", countsArgument)
    .addOption(count("--repeat <n>", "measurements of which the median is taken", 3))
    .option("--json", "print { model, cpu, peakMemoryMiB, results, bandwidth }");
  addModelOptions(command, { threads: false }).action(run);
  addBenchKernels(bench);
  addBenchCompare(bench);
}

async function run(flags: Flags): Promise<void> {
  const { prompt, generate, decodePrompt, repeat, threads, ...rest } = flags;
  const cpu = loadAddon().cpu();
  const progress = new Progress("measuring");
  try {
    const report = await benchModel(flags.model, modelOptions({ ...rest }), {
      prompt,
      generate,
      decodePrompt,
      repeat,
      threads: threads ?? [Math.min(cpu.physicalCores, cpu.usableCpus)],
      signal: interruptSignal(),
      onStep: (step) => progress.step(step),
    });
    progress.clear();
    await (flags.json ? printJson(report) : print(reportText(report)));
  } finally {
    progress.clear();
  }
}

function reportText({ model, cpu, peakMemoryMiB, results, bandwidth }: BenchReport): string {
  const lines = results.map((each) => [
    each.test,
    each.tokens,
    each.threads,
    each.kernel,
    Number(each.tokensPerSecond.toFixed(1)),
    Number(each.gigabytesPerSecond.toFixed(2)),
    Number(each.gigamacsPerSecond.toFixed(1)),
  ]);
  const probes = bandwidth.map(
    ({ threads, gigabytesPerSecond }) => `${gigabytesPerSecond.toFixed(1)} GB/s with ${threads} threads`,
  );
  return [
    `${model} on ${cpu}`,
    table([["test", "tokens", "threads", "kernel", "tokens/s", "GB/s", "GMAC/s"], ...lines]),
    `peak memory ${peakMemoryMiB.toFixed(0)} MiB; memory reads ${probes.join(", ")}`,
  ].join("\n");
}
