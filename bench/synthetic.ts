/** `npm run synthetic -- --preset 2b4t --dead-gates 0.5 --out FILE`: writes a GGUF model with random ternary weights. */
import { parseArgs } from "node:util";
import { BitnetError, InvalidOptionError } from "../lib/errors";
import { generateFolder } from "./synthetic/folder";
import { generateSynthetic } from "./synthetic/generate";
import { PRESETS, type Shape } from "./synthetic/shapes";

const USAGE = `Usage: npm run synthetic -- --preset NAME --out FILE [options]

Writes a GGUF model of a given shape with random ternary weights, for benchmarks.

  --preset NAME        ${Object.keys(PRESETS).join(", ")} (default tiny)
  --out FILE           where to write
  --dead-gates SHARE   share of squared-ReLU gates that are zero, 0.05 to 0.99 (default 0.5)
  --seed N             same seed, same file (default 1)
  --layers N --width N --ffn N --heads N --kv-heads N --vocabulary N --context N
                       change the preset's shape
  --activation NAME    relu2 or silu
  --folder STORAGE     write a Hugging Face folder of a llama model of the shape instead: packed or bf16 weights
  --help               this text`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      preset: { type: "string", default: "tiny" },
      out: { type: "string" },
      "dead-gates": { type: "string", default: "0.5" },
      seed: { type: "string", default: "1" },
      layers: { type: "string" },
      width: { type: "string" },
      ffn: { type: "string" },
      heads: { type: "string" },
      "kv-heads": { type: "string" },
      vocabulary: { type: "string" },
      context: { type: "string" },
      activation: { type: "string" },
      folder: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const preset = Object.hasOwn(PRESETS, values.preset) ? PRESETS[values.preset] : undefined;
  if (preset === undefined) throw new InvalidOptionError(`Unknown preset "${values.preset}".\n\n${USAGE}`);
  if (values.out === undefined) throw new InvalidOptionError(`--out is missing.\n\n${USAGE}`);
  const { activation } = values;
  if (activation !== undefined && activation !== "relu2" && activation !== "silu") {
    throw new InvalidOptionError(`--activation is "${activation}"; choose relu2 or silu.`);
  }
  const shape: Shape = {
    ...preset,
    layers: count("layers", values.layers, preset.layers),
    width: count("width", values.width, preset.width),
    ffn: count("ffn", values.ffn, preset.ffn),
    heads: count("heads", values.heads, preset.heads),
    kvHeads: count("kv-heads", values["kv-heads"], preset.kvHeads),
    vocabulary: count("vocabulary", values.vocabulary, preset.vocabulary),
    context: count("context", values.context, preset.context),
    activation: activation ?? preset.activation,
  };
  const { folder } = values;
  if (folder !== undefined && folder !== "packed" && folder !== "bf16") {
    throw new InvalidOptionError(`--folder is "${folder}"; choose packed or bf16.`);
  }
  const started = performance.now();
  if (folder !== undefined) {
    report(values.out, generateFolder(values.out, shape, folder), started);
    return;
  }
  const bytes = await generateSynthetic(values.out, {
    shape,
    deadGates: Number(values["dead-gates"]),
    seed: count("seed", values.seed, 1),
    name: `synthetic ${values.preset}`,
  });
  report(values.out, bytes, started);
}

function report(path: string, bytes: number, started: number): void {
  const seconds = (performance.now() - started) / 1000;
  console.log(`${path}: ${(bytes / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s`);
}

function count(name: string, value: string | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new InvalidOptionError(`--${name} is "${value}"; it must be a whole number.`);
}

main().catch((error: unknown) => {
  const usage = error instanceof InvalidOptionError || (error instanceof TypeError && "code" in error);
  console.error(error instanceof BitnetError || usage ? (error as Error).message : error);
  process.exitCode = usage ? 2 : 1;
});
