import type { ModelSpec } from "../../types/addon";
import type { GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";

/** What turns the names and hyper-parameters of one family of models into a `ModelSpec`. */
export interface Architecture {
  /** Values of `general.architecture` in GGUF files. */
  readonly names: readonly string[];
  /** Whether a Hugging Face config.json is of this family. */
  matches(config: Readonly<Record<string, unknown>>): boolean;
  /**
   * @throws ModelFormatError when hyper-parameters or shapes contradict each other or a tensor is missing.
   * @throws UnsupportedModelError when the file asks for something the architecture does not do.
   */
  fromGguf(file: GgufFile): ModelSpec;
  /** The same for a Hugging Face folder. */
  fromFolder(folder: HfFolder): ModelSpec;
}
