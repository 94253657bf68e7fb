import type { ModelSpec } from "../../types/addon";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { MetadataView, type GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";
import type { Architecture } from "./architecture";
import { bitnet } from "./bitnet";
import { gemma3 } from "./gemma3";
import { llama } from "./llama";
import { qwen2, qwen3 } from "./qwen";

/** Every architecture, more particular ones first; adding one is adding its file and its name here. */
const ARCHITECTURES: readonly Architecture[] = [bitnet, llama, qwen2, qwen3, gemma3];

/** Values of `general.architecture` that can be run. */
export function architectureNames(): string[] {
  return ARCHITECTURES.flatMap((architecture) => architecture.names);
}

/**
 * Describes the model of a GGUF file for the addon.
 * @throws ModelFormatError, UnsupportedModelError as `Architecture.describe`; UnsupportedModelError also for an unknown
 * architecture.
 */
export function describeModel(file: GgufFile): ModelSpec {
  const view = new MetadataView(file);
  refuseForeignFeatures(file, view);
  const name = view.string("general.architecture");
  const architecture = ARCHITECTURES.find((candidate) => candidate.names.includes(name));
  if (architecture) {
    refuseForeignKeys(file, name);
    return architecture.fromGguf(file);
  }
  throw new UnsupportedModelError(
    `"${file.path}" has the architecture ${JSON.stringify(name)}; supported are ${architectureNames().join(", ")}. Use a ` +
      `model of one of these architectures.`,
  );
}

/**
 * Describes the model of a Hugging Face folder for the addon.
 * @throws ModelFormatError, UnsupportedModelError as `Architecture.fromFolder`; UnsupportedModelError also for an unknown
 * `model_type`.
 */
export function describeFolder(folder: HfFolder): ModelSpec {
  const type = folder.config.model_type;
  if (typeof type !== "string") {
    throw new ModelFormatError(`"${folder.configPath}": "model_type" is missing or no string.`);
  }
  const architecture = ARCHITECTURES.find((candidate) => candidate.matches(folder.config));
  if (architecture) return architecture.fromFolder(folder);
  throw new UnsupportedModelError(
    `"${folder.configPath}": "model_type" is ${JSON.stringify(type)}; supported are bitnet, llama, qwen2, qwen3 and ` +
      `gemma3_text. Use a model of one of these families.`,
  );
}

/**
 * First parts of metadata keys that change no computation: the format's own, and what programs note about how they made a
 * file. The architecture's keys are looked at one by one.
 */
const NEUTRAL_KEYS: ReadonlySet<string> = new Set(["general", "tokenizer", "quantize", "split", "mradermacher"]);

/** What any architecture's file may ask for outside of its own keys, and what ignoring would make wrong. */
function refuseForeignFeatures(file: GgufFile, view: MetadataView): void {
  const parts = view.optionalInteger("split.count") ?? 1;
  if (parts > 1) {
    throw new UnsupportedModelError(
      `"${file.path}" is one of ${parts} parts of a model. Join them with llama.cpp's "llama-gguf-split --merge".`,
    );
  }
  const transform = [...file.metadata.keys()].find((key) => key.startsWith("prism."));
  if (transform !== undefined) {
    throw new UnsupportedModelError(
      `"${file.path}": metadata key ${JSON.stringify(transform)} asks for a transform of activations that is not ` +
        `implemented; without it the results would be wrong.`,
    );
  }
}

/** What makers put under names of their own. */
function refuseForeignKeys(file: GgufFile, architecture: string): void {
  const foreign = [...file.metadata.keys()].find((key) => {
    const [first = ""] = key.split(".");
    return !NEUTRAL_KEYS.has(first) && !key.startsWith(`${architecture}.`);
  });
  if (foreign !== undefined) {
    throw new UnsupportedModelError(
      `"${file.path}": metadata key ${JSON.stringify(foreign)} is unknown here and may change the model's results. Use a ` +
        `file without it, or a version of this package that knows it.`,
    );
  }
}
