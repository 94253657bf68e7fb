import type { ModelSpec, RopeSpec } from "../../types/addon";
import { UnsupportedModelError } from "../errors";
import type { GgufFile } from "../files/gguf";
import type { HfFolder } from "../files/hf_folder";
import { isRecord } from "../files/safetensors";
import type { Architecture } from "./architecture";
import { describeDecoder, type DecoderShape } from "./decoder";
import { readGgufShape } from "./gguf_parameters";
import type { HfFields } from "./hf_fields";
import { readHfShape, ropeOf } from "./hf_parameters";
import { HfTensors } from "./hf_tensors";
import { GgufTensors } from "./tensors";

/** Of every so many layers the last one attends to everything, the others to a window. */
const PATTERN = 6;

/** Base of the local layers' RoPE. */
const LOCAL_THETA = 10000;

/** What every Gemma 3 decoder has; the head is the embedding. */
const PARTS = { qkNorms: true, postNorms: true, inputNorms: "where-present", head: "tied" } as const;

/**
 * Gemma 3 (https://arxiv.org/abs/2503.19786), text only: GELU (tanh form), norms before and behind attention and FFN,
 * norms per head on q and k, embeddings times sqrt(d), five local layers to each global one. Hugging Face folders store
 * norm weights minus 1. Ternary models of this shape: BitNet-embedding-270M.
 */
export const gemma3: Architecture = {
  names: ["gemma3"],
  matches: ({ model_type: type }) => type === "gemma3_text",
  fromGguf,
  fromFolder,
};

function fromGguf(file: GgufFile): ModelSpec {
  const { view, prefix, ...shape } = readGgufShape(file, {
    keys: ["attention.sliding_window", "rope.freq_base_swa"],
    activation: "gelu",
    activations: ["gelu"],
  });
  const window = view.optionalInteger(`${prefix}attention.sliding_window`, { min: 0, max: 1 << 24 }) ?? 0;
  const theta = view.optionalNumber(`${prefix}rope.freq_base_swa`, { min: 1, max: 1e12 }) ?? LOCAL_THETA;
  const local: RopeSpec = { theta, dimensions: shape.rope.dimensions, positionScale: 1 };
  const layers = window > 0 ? localLayers(window, local, (layer) => layer % PATTERN !== PATTERN - 1) : {};
  return describeDecoder({ ...shape, ...PARTS, ...layers, ...embeddingScale(shape) }, new GgufTensors(file));
}

function fromFolder(folder: HfFolder): ModelSpec {
  const { rope, local, config } = splitRope(folder);
  const { shape, storage, fields } = readHfShape(
    { ...folder, config },
    {
      architecture: () => "gemma3",
      activations: { gelu_pytorch_tanh: "gelu" },
      activationKey: "hidden_activation",
      tied: true,
      headDim: 256,
    },
  );
  if (shape.head !== "tied") throw fields.wrong("tie_word_embeddings", "true");
  const scalar = fields.optionalPositive("query_pre_attn_scalar") ?? 256;
  if (scalar !== shape.headDim) {
    throw new UnsupportedModelError(
      `"${fields.path}": "query_pre_attn_scalar" is ${scalar}; only the head dimension (${shape.headDim}) can be run.`,
    );
  }
  fields.fixed("attn_logit_softcapping");
  fields.fixed("final_logit_softcapping");
  fields.fixed("use_bidirectional_attention", false);
  fields.fixed("hidden_act", "gelu_pytorch_tanh");
  const localTheta = fields.optionalPositive("rope_local_base_freq") ?? LOCAL_THETA;
  const localRope = local
    ? ropeOf(fields, "rope_parameters.sliding_attention", local, shape.headDim, undefined)
    : { theta: localTheta, dimensions: shape.headDim, positionScale: 1 };
  if (rope) shape.rope = ropeOf(fields, "rope_parameters.full_attention", rope, shape.headDim, undefined);
  const window = fields.optionalCount("sliding_window") ?? shape.contextLength;
  const isLocal = readLayerTypes(fields, shape.layerCount);
  fields.finish();
  const layers = localLayers(window, localRope, isLocal);
  return describeDecoder(
    { ...shape, ...PARTS, ...layers, ...embeddingScale(shape), normAddend: 1 },
    new HfTensors(folder, storage, true),
  );
}

function localLayers(
  slidingWindow: number,
  localRope: RopeSpec,
  isLocal: (layer: number) => boolean,
): Pick<DecoderShape, "slidingWindow" | "localRope" | "isLocal"> {
  return { slidingWindow, localRope, isLocal };
}

/** In single precision, as the models were made. */
function embeddingScale({ embeddingLength }: DecoderShape): { embeddingScale: number } {
  return { embeddingScale: Math.fround(Math.sqrt(embeddingLength)) };
}

/** transformers 5 keeps the parameters of both kinds of layers in one object; they are read apart from the rest. */
function splitRope({ config }: HfFolder): { rope?: unknown; local?: unknown; config: HfFolder["config"] } {
  const parameters = config.rope_parameters;
  if (!isRecord(parameters) || !("full_attention" in parameters)) return { config };
  const { full_attention: rope, sliding_attention: local, ...others } = parameters;
  const rest = Object.keys(others).length > 0 ? others : undefined;
  return { rope, local, config: { ...config, rope_parameters: rest } };
}

function readLayerTypes(fields: HfFields, layerCount: number): (layer: number) => boolean {
  const old = fields.optionalCount("_sliding_window_pattern");
  const pattern = fields.optionalCount("sliding_window_pattern") ?? old ?? PATTERN;
  const types = fields.take("layer_types");
  if (types === undefined || types === null) return (layer) => layer % pattern !== pattern - 1;
  const known = ["sliding_attention", "full_attention"];
  if (!Array.isArray(types) || types.length !== layerCount || !types.every((type) => known.includes(type as string))) {
    throw fields.wrong("layer_types", `a list of ${layerCount} of ${known.map((type) => `"${type}"`).join(" or ")}`);
  }
  return (layer) => types[layer] === "sliding_attention";
}
