import type { ModelSpec } from "../../types/addon";
import type { GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";
import type { Architecture } from "./architecture";
import { describeDecoder } from "./decoder";
import { readGgufShape } from "./gguf_parameters";
import { readHfShape } from "./hf_parameters";
import { HfTensors } from "./hf_tensors";
import { GgufTensors } from "./tensors";

/**
 * BitNet b1.58 (https://arxiv.org/abs/2402.17764, https://arxiv.org/abs/2504.12285): pre-norm decoder, half-split RoPE,
 * grouped-query attention, an RMSNorm before the output projection and another before the down projection, gated FFN.
 *
 * The activation is squared ReLU in `bitnet-b1.58` and `bitnet-25` files (Microsoft's 2B4T) and SiLU in `bitnet` files
 * (1bitLLM's models). Nothing in those files says so; files written by this package state it in
 * `<architecture>.hidden_activation`, which overrides the rule.
 *
 * 1bitLLM's folders call themselves "llama" in `model_type` and BitnetForCausalLM in `architectures`.
 */
export const bitnet: Architecture = {
  names: ["bitnet-b1.58", "bitnet-25", "bitnet"],
  matches: ({ model_type: type, architectures }) =>
    type === "bitnet" ||
    (type === "llama" && Array.isArray(architectures) && architectures.includes("BitnetForCausalLM")),
  fromGguf,
  fromFolder,
};

function fromGguf(file: GgufFile): ModelSpec {
  const name = file.metadata.get("general.architecture")?.value;
  const shape = readGgufShape(file, {
    activation: name === "bitnet" ? "silu" : "relu2",
    activations: ["relu2", "silu"],
  });
  return describeDecoder({ ...shape, subNorms: true }, new GgufTensors(file));
}

function fromFolder(folder: HfFolder): ModelSpec {
  const { shape, storage, fields } = readHfShape(folder, {
    // SiLU models are "bitnet" for every reader.
    architecture: (activation) => (activation === "relu2" ? "bitnet-b1.58" : "bitnet"),
    activations: { relu2: "relu2", silu: "silu" },
    tied: false,
  });
  fields.finish();
  return describeDecoder({ ...shape, subNorms: true }, new HfTensors(folder, storage, shape.head === "tied"));
}
