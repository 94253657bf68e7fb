import type { ModelSpec } from "../../types/addon";
import { ModelFormatError } from "../errors";
import type { GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";
import type { Architecture } from "./architecture";
import { describeDecoder, type DecoderShape } from "./decoder";
import { readGgufShape, readSmallVector } from "./gguf_parameters";
import { readHfShape } from "./hf_parameters";
import { HfTensors } from "./hf_tensors";
import { GgufTensors } from "./tensors";

/**
 * Llama (https://arxiv.org/abs/2302.13971) with ternary projections: Llama3-8B-1.58, Falcon3-1.58bit, Falcon-E. SiLU, no
 * sub-norms. GGUF files have the rows of q and k permuted for RoPE on neighbouring pairs; Hugging Face folders do not.
 */
export const llama: Architecture = {
  names: ["llama"],
  matches: ({ model_type: type }) => type === "llama",
  fromGguf,
  fromFolder,
};

function fromGguf(file: GgufFile): ModelSpec {
  const shape: DecoderShape = {
    ...readGgufShape(file, { activation: "silu", activations: ["silu"] }),
    permuted: true,
  };
  const find = new GgufTensors(file);
  if (find.has("ropeFactors")) {
    const tensor = find.vector("ropeFactors", shape.rope.dimensions / 2);
    const factors = readSmallVector(find, tensor);
    if (!factors.every((factor) => factor > 0 && Number.isFinite(factor))) {
      throw new ModelFormatError(`"${file.path}": tensor "${tensor.name}" holds a factor that is not positive.`);
    }
    shape.rope = { ...shape.rope, factors };
  }
  return describeDecoder(shape, find);
}

function fromFolder(folder: HfFolder): ModelSpec {
  const { shape, storage, fields } = readHfShape(folder, {
    architecture: () => "llama",
    activations: { silu: "silu" },
    tied: false,
  });
  fields.finish();
  return describeDecoder(shape, new HfTensors(folder, storage, shape.head === "tied"));
}
