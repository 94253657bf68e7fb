import type { Command } from "commander";
import { verifyModel } from "../../benchmark/verify";
import { ModelFormatError } from "../../errors";
import { BUNDLED_MODEL_PATH } from "../../files/bundled";
import { interruptSignal } from "../interrupt";
import { print, printJson, table } from "../output";
import { Progress } from "../progress";

interface Flags {
  sha256?: string;
  json?: boolean;
}

/** `node-bitnet verify [file]` */
export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("Check a GGUF file: header, hash, values, ternary codes and scales, a short text")
    .argument("[file]", "GGUF file (default: the model that ships with the package)")
    .option("--sha256 <hash>", "the hash that the file should have (default: what the Hub's cache says)")
    .option("--json", "print [{ check, ok, detail }]")
    .action(verify);
}

async function verify(path: string | undefined, flags: Flags): Promise<void> {
  const progress = new Progress("checking");
  const file = path ?? BUNDLED_MODEL_PATH;
  let findings;
  try {
    findings = await verifyModel(file, {
      signal: interruptSignal(),
      onCheck: (check) => progress.step(check),
      ...(flags.sha256 === undefined ? {} : { sha256: flags.sha256 }),
    });
  } finally {
    progress.clear();
  }
  if (flags.json) await printJson(findings);
  else await print(table(findings.map(({ check, ok, detail }) => [ok ? "ok" : "FAILED", check, detail])));
  const failed = findings.filter(({ ok }) => !ok).map(({ check }) => check);
  if (failed.length > 0) throw new ModelFormatError(`"${file}" failed: ${failed.join(", ")}.`);
}
