import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describeFolder } from "../../../lib/architectures";
import { readHfFolder } from "../../../lib/files/hf_folder";
import { readHfSettings } from "../../../lib/files/hf_settings";
import { readSafetensors } from "../../../lib/files/safetensors";
import { writeTinyFolder, type FolderFamily } from "../../helpers/tiny_folder";
import {
  bytesOf,
  damaged,
  damagedJson,
  edgeNumber,
  fileOf,
  refusable,
  workFolder,
  type Bytes,
  type Target,
} from "../target";

interface Input {
  family: FolderFamily;
  config: unknown;
  weights: Bytes;
}

const FAMILIES: readonly FolderFamily[] = ["bitnet", "llama", "qwen2", "qwen3", "gemma3_text"];

function soundFolder(family: FolderFamily): string {
  const folder = join(workFolder(), `sound-${family}`);
  mkdirSync(folder, { recursive: true });
  writeTinyFolder(folder, { family, layers: 1, heads: 1, kvHeads: 1, headDim: 16, width: 32, ffn: 32 });
  return folder;
}

/** Headers of any tensors behind a length that is mostly right. */
const anyHeader = fc
  .tuple(
    fc.dictionary(
      fc.string(),
      fc.record({
        dtype: fc.oneof(fc.constantFrom("F32", "BF16", "U8", "I64"), fc.string({ maxLength: 4 })),
        shape: fc.array(edgeNumber, { maxLength: 4 }),
        data_offsets: fc.oneof(fc.tuple(edgeNumber, edgeNumber), fc.array(edgeNumber, { maxLength: 3 })),
      }),
      { maxKeys: 4 },
    ),
    fc.option(edgeNumber, { freq: 5 }),
    fc.nat(600),
  )
  .map(([tensors, length, room]) => {
    const json = Buffer.from(JSON.stringify(tensors));
    const header = Buffer.alloc(8);
    header.writeBigUInt64LE(BigInt(length ?? json.length));
    return Buffer.concat([header, json, Buffer.alloc(room)]);
  });

/** Hugging Face folders: configuration, safetensors, and what describes the model from them. */
export const safetensorsTarget: Target<Input> = {
  name: "safetensors",
  covers: ["lib/files/safetensors.ts", "lib/files/hf_folder.ts", "lib/files/hf_settings.ts", "lib/architectures/hf_"],
  weight: 2,
  inputs: fc.constantFrom(...FAMILIES).chain((family) => {
    const folder = soundFolder(family);
    const sound = readFileSync(join(folder, "model.safetensors"));
    return fc.record({
      family: fc.constant(family),
      config: damagedJson(fc.constant(JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as unknown)),
      weights: fc.oneof(fc.constant(sound.toString("base64")), damaged(fc.constant(sound)), damaged(anyHeader, 1)),
    });
  }),
  async check({ family, config, weights }) {
    const bytes = bytesOf(weights);
    await refusable(() => readSafetensors(fileOf("one.safetensors", bytes)));
    const folder = join(workFolder(), "folder");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    writeFileSync(join(folder, "generation_config.json"), JSON.stringify({ family, ...(config as object) }));
    writeFileSync(join(folder, "model.safetensors"), bytes);
    const read = await refusable(() => readHfFolder(folder));
    if (!read) return;
    await refusable(() => describeFolder(read));
    await refusable(() => readHfSettings(read));
  },
};
