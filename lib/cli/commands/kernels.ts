import type { Command } from "commander";
import { loadAddon } from "../../addon";
import { print, printJson, table } from "../output";

/** `node-bitnet kernels` */
export function addKernels(program: Command): void {
  program
    .command("kernels")
    .description("List the kernels of this build and whether this CPU runs them")
    .option("--json", "print { cpu, kernels }")
    .action(kernels);
}

async function kernels(flags: { json?: boolean }): Promise<void> {
  const addon = loadAddon();
  const cpu = addon.cpu();
  const list = addon.kernels();
  if (flags.json) {
    await printJson({ cpu, kernels: list });
    return;
  }
  await print(`${cpu.model}: ${cpu.usableCpus} CPUs usable, ${cpu.physicalCores} cores; ${cpu.features.join(" ")}\n`);
  const rows = list.map(({ name, available, missing, description }) => [
    name,
    available ? "yes" : `no: needs ${missing.join(", ")}`,
    description,
  ]);
  await print(table([["kernel", "runs here", "description"], ...rows]));
}
