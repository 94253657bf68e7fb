import type { ModelSpec } from "../../types/addon";
import { UnsupportedModelError } from "../errors";
import { MetadataView, type GgufFile } from "../files/gguf";
import type { Architecture } from "./architecture";
import { bitnet } from "./bitnet";

/** Every architecture; adding one is adding its file and a line here. */
const ARCHITECTURES: readonly Architecture[] = [bitnet];

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
  const name = new MetadataView(file).string("general.architecture");
  const architecture = ARCHITECTURES.find((candidate) => candidate.names.includes(name));
  if (architecture) return architecture.describe(file);
  throw new UnsupportedModelError(
    `"${file.path}" has the architecture ${JSON.stringify(name)}; supported are ${architectureNames().join(", ")}. Use a ` +
      `model of one of these architectures.`,
  );
}
