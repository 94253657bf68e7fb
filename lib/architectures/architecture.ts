import type { ModelSpec } from "../../types/addon";
import type { GgufFile } from "../files/gguf";

/** What turns the names and hyper-parameters of one family of files into a `ModelSpec`. */
export interface Architecture {
  /** Values of `general.architecture` it reads. */
  readonly names: readonly string[];
  /**
   * @throws ModelFormatError when hyper-parameters or shapes contradict each other or a tensor is missing.
   * @throws UnsupportedModelError when the file asks for something the architecture does not do.
   */
  describe(file: GgufFile): ModelSpec;
}
