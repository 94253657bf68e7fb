import type { MatrixShape } from "../../types/addon";
import { loadAddon } from "../addon";
import { InvalidOptionError } from "../errors";
import { openModel } from "./open";
import { matrixShapes } from "./tuner";

/**
 * The matrices of a GGUF file or a Hugging Face folder that kernels multiply, by shape.
 * @throws FileError, ModelFormatError, UnsupportedModelError; InvalidOptionError where it has none
 */
export async function modelShapes(path: string): Promise<MatrixShape[]> {
  const { spec } = await openModel(path);
  const shapes = matrixShapes(spec, loadAddon());
  if (shapes.length === 0) throw new InvalidOptionError(`"${path}" has no matrices that the kernels multiply.`);
  return shapes;
}
