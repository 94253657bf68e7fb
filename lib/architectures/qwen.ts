import type { ModelSpec } from "../../types/addon";
import { UnsupportedModelError } from "../errors";
import type { GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";
import type { Architecture } from "./architecture";
import { describeDecoder, type DecoderShape } from "./decoder";
import { readGgufShape } from "./gguf_parameters";
import type { HfFields } from "./hf_fields";
import { readHfShape } from "./hf_parameters";
import { HfTensors } from "./hf_tensors";
import { GgufTensors } from "./tensors";

/** Qwen 2 (https://arxiv.org/abs/2407.10671): SiLU, biases on q, k and v. */
export const qwen2: Architecture = family("qwen2", { biases: true });

/**
 * Qwen 3 (https://arxiv.org/abs/2505.09388): SiLU, an RMSNorm per head on q and k. Ternary models of this shape: Bonsai
 * and BitNet-embedding-0.6B, which has an RMSNorm on the input of each projection besides.
 */
export const qwen3: Architecture = family("qwen3", { qkNorms: true, inputNorms: "where-present" });

function family(name: string, parts: Pick<DecoderShape, "biases" | "qkNorms" | "inputNorms">): Architecture {
  return {
    names: [name],
    matches: ({ model_type: type }) => type === name,
    fromGguf(file: GgufFile): ModelSpec {
      const shape = readGgufShape(file, { activation: "silu", activations: ["silu"] });
      return describeDecoder({ ...shape, ...parts }, new GgufTensors(file));
    },
    fromFolder(folder: HfFolder): ModelSpec {
      const { shape, storage, fields } = readHfShape(folder, {
        architecture: () => name,
        activations: { silu: "silu" },
        tied: false,
        ...(name === "qwen3" ? { headDim: 128 } : {}),
      });
      refuseWindow(fields);
      fields.finish();
      return describeDecoder({ ...shape, ...parts }, new HfTensors(folder, storage, shape.head === "tied"));
    },
  };
}

/** Qwen's configurations name a window that only `use_sliding_window` puts to use. */
function refuseWindow(fields: HfFields): void {
  fields.fixed("use_sliding_window", false);
  fields.take("sliding_window");
  fields.take("max_window_layers");
  const types = fields.take("layer_types");
  if (types === undefined || types === null) return;
  if (Array.isArray(types) && types.every((type) => type === "full_attention")) return;
  throw new UnsupportedModelError(`"${fields.path}": "layer_types" has layers other than "full_attention".`);
}
