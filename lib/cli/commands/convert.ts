import { Option, type Command } from "commander";
import { convertToGguf, DENSE_TYPES, TERNARY_TYPES, type DenseFormat, type TernaryFormat } from "../../convert";
import { formatBytes } from "../../engine";
import { readTextFile } from "../input";
import { terminationSignal } from "../interrupt";
import { print, printJson } from "../output";
import { Progress } from "../progress";

interface Flags {
  type: TernaryFormat;
  embeddingType: DenseFormat;
  headType?: DenseFormat;
  name?: string;
  license?: string;
  chatTemplate?: string;
  json?: boolean;
}

const TERNARY = Object.keys(TERNARY_TYPES);
const DENSE = Object.keys(DENSE_TYPES);

/** `node-bitnet convert <folder> <file>` */
export function addConvert(program: Command): void {
  program
    .command("convert")
    .description("Convert a Hugging Face folder (safetensors) to a GGUF file")
    .argument("<folder>", "folder with config.json, tokenizer.json and safetensors")
    .argument("<file>", "GGUF file to write; it appears complete or not at all")
    .addOption(new Option("--type <type>", "format of the ternary matrices").choices(TERNARY).default("i2_s"))
    .addOption(new Option("--embedding-type <type>", "format of the embedding").choices(DENSE).default("f16"))
    .addOption(
      new Option("--head-type <type>", "format of a head of its own (default: the embedding's)").choices(DENSE),
    )
    .option("--name <text>", "the model's name")
    .option("--license <id>", "the model's licence, an SPDX identifier")
    .option("--chat-template <file>", "file with a Jinja template that replaces the folder's")
    .option("--json", "print a report as JSON")
    .action(convert);
}

async function convert(folder: string, file: string, flags: Flags): Promise<void> {
  const { type, embeddingType, headType, name, license, chatTemplate } = flags;
  const progress = new Progress("converting");
  try {
    const report = await convertToGguf(folder, file, {
      type,
      embeddingType,
      ...(headType === undefined ? {} : { headType }),
      ...(name === undefined ? {} : { name }),
      ...(license === undefined ? {} : { license }),
      ...(chatTemplate === undefined ? {} : { chatTemplate: await readTextFile(chatTemplate) }),
      signal: terminationSignal(),
      onProgress: (share) => progress.share(share),
    });
    progress.clear();
    if (flags.json) await printJson(report);
    else {
      await print(`${report.path}: ${report.tensors} tensors, ${formatBytes(report.bytes)}, ${report.architecture}`);
      for (const note of report.notes) await print(note);
    }
  } finally {
    progress.clear();
  }
}
