import type { ModelSpec, RopeSpec } from "../../types/addon";
import { UnsupportedModelError } from "../errors";
import type { HfFolder } from "../files/hf_folder";
import { isRecord } from "../files/safetensors";
import type { DecoderShape } from "./decoder";
import { HfFields } from "./hf_fields";
import { readStorage, type WeightStorage } from "./hf_storage";
import { hfNames } from "./roles";
import { YARN_BETAS, yarnRope, type Yarn } from "./yarn";

/** What a family of Hugging Face models has of its own. */
export interface HfFamily {
  /** `general.architecture` of the same model as GGUF, by its activation. */
  architecture: (activation: ModelSpec["activation"]) => string;
  /** Values of the activation key. */
  activations: Readonly<Record<string, ModelSpec["activation"]>>;
  /** Key of the activation; default "hidden_act". */
  activationKey?: string;
  /** transformers' default of `tie_word_embeddings` for the family. */
  tied: boolean;
  /** Head dimension where config.json has none; absent: hidden size / heads. */
  headDim?: number;
}

/** Hyper-parameters of a folder, and how its weights are stored. */
export interface HfShape {
  shape: DecoderShape;
  storage: WeightStorage;
  /** The rest of config.json, for keys of the family; `finish` it. */
  fields: HfFields;
}

/**
 * The hyper-parameters that all decoders share, from config.json, strictly: a key that nobody takes is refused in the
 * end, since it may change the model's results.
 * @throws ModelFormatError for wrong values, UnsupportedModelError for features that cannot be run.
 */
export function readHfShape(folder: HfFolder, family: HfFamily): HfShape {
  const { configPath, config } = folder;
  const fields = new HfFields(configPath, config);
  fields.fixed("attention_bias", false);
  fields.fixed("mlp_bias", false);
  fields.fixed("is_decoder", true, false);
  for (const key of ["bos_token_id", "eos_token_id", "pad_token_id"]) fields.ids(key);
  const embeddingLength = fields.count("hidden_size");
  const headCount = fields.count("num_attention_heads");
  const headDim = fields.optionalCount("head_dim") ?? family.headDim ?? embeddingLength / headCount;
  if (!Number.isInteger(headDim)) throw fields.wrong("num_attention_heads", "a divisor of hidden_size");
  const headCountKv = fields.optionalCount("num_key_value_heads") ?? headCount;
  if (headCount % headCountKv !== 0) throw fields.wrong("num_key_value_heads", `a divisor of ${headCount}`);
  const key = family.activationKey ?? "hidden_act";
  const name = fields.take(key);
  const activation =
    typeof name === "string" && Object.hasOwn(family.activations, name) ? family.activations[name] : undefined;
  if (activation === undefined) {
    const known = Object.keys(family.activations).map((each) => `"${each}"`);
    throw fields.wrong(key, known.join(" or "));
  }
  const shape: DecoderShape = {
    architecture: family.architecture(activation),
    vocabularySize: fields.count("vocab_size"),
    contextLength: fields.count("max_position_embeddings"),
    embeddingLength,
    layerCount: fields.count("num_hidden_layers"),
    headCount,
    headCountKv,
    headDim,
    ffnLength: fields.count("intermediate_size"),
    rmsNormEpsilon: fields.positive("rms_norm_eps"),
    activation,
    rope: readRope(fields, headDim),
    head: (fields.boolean("tie_word_embeddings") ?? family.tied) ? "tied" : "own",
  };
  const inputNorms = hfNames("qInputNorm", 0).some((name) => folder.tensors.has(name));
  return { shape, storage: readStorage(configPath, config, fields, inputNorms), fields };
}

/** `rope_theta` with `rope_scaling`, or since transformers 5 `rope_parameters`. */
function readRope(fields: HfFields, headDim: number): RopeSpec {
  const parameters = fields.take("rope_parameters");
  const scaling = fields.take("rope_scaling");
  if (parameters === undefined || parameters === null) {
    const theta = fields.optionalPositive("rope_theta") ?? 10000;
    return ropeOf(fields, "rope_scaling", scaling, headDim, theta);
  }
  if (!isRecord(parameters)) throw fields.wrong("rope_parameters", "an object");
  const outer = fields.take("rope_theta");
  if (outer !== undefined && outer !== parameters.rope_theta) {
    throw fields.wrong("rope_theta", `${JSON.stringify(parameters.rope_theta)}, as in rope_parameters`);
  }
  return ropeOf(fields, "rope_parameters", parameters, headDim, undefined);
}

/** RoPE from one object of parameters; `theta` is undefined where the object must hold it. */
export function ropeOf(
  fields: HfFields,
  key: string,
  value: unknown,
  headDim: number,
  theta: number | undefined,
): RopeSpec {
  if (value === undefined || value === null) {
    return { theta: theta ?? 10000, dimensions: headDim, positionScale: 1 };
  }
  if (!isRecord(value)) throw fields.wrong(key, "an object");
  const nested = new HfFields(fields.path, value, `${key}.`);
  const old = nested.take("type");
  const type = nested.take("rope_type") ?? old ?? "default";
  const base = theta ?? nested.positive("rope_theta");
  if (type === "yarn") return yarnOf(fields, nested, headDim, base);
  const spec: RopeSpec = { theta: base, dimensions: headDim, positionScale: 1 };
  if (type === "linear") spec.positionScale = 1 / nested.positive("factor");
  else if (type === "llama3") spec.factors = llama3Factors(nested, headDim, base);
  else if (type !== "default") {
    throw new UnsupportedModelError(
      `"${fields.path}": "${key}" has the type ${JSON.stringify(type)}; only "default", "linear", "llama3" ` +
        `and "yarn" can be run.`,
    );
  }
  nested.finish();
  return spec;
}

function yarnOf(fields: HfFields, nested: HfFields, headDim: number, theta: number): RopeSpec {
  // Where it is missing transformers takes the context that the configuration states.
  const originalContext =
    nested.optionalPositive("original_max_position_embeddings") ?? fields.count("max_position_embeddings");
  const factor = nested.positive("factor");
  // DeepSeek's pair of temperatures, whose ratio is taken.
  const [own, all] = [nested.optionalPositive("mscale"), nested.optionalPositive("mscale_all_dim")];
  const scaled = (by: number): number => (factor > 1 ? 0.1 * by * Math.log(factor) + 1 : 1);
  const ratio = own !== undefined && all !== undefined ? scaled(own) / scaled(all) : undefined;
  const attentionFactor = nested.optionalPositive("attention_factor") ?? ratio;
  nested.fixed("truncate", true);
  nested.fixed("finetuned", true, false);
  const yarn: Yarn = {
    factor,
    originalContext,
    betaFast: nested.optionalPositive("beta_fast") ?? YARN_BETAS.betaFast,
    betaSlow: nested.optionalPositive("beta_slow") ?? YARN_BETAS.betaSlow,
    ...(attentionFactor === undefined ? {} : { attentionFactor }),
  };
  nested.finish();
  return yarnRope(theta, headDim, yarn);
}

/**
 * What Llama 3.1's scaling divides each frequency by: 1 for waves shorter than the old context's share
 * `high_freq_factor`, `factor` for those longer than its share `low_freq_factor`, and in between a blend. In single
 * precision, as GGUF files store them.
 */
function llama3Factors(fields: HfFields, headDim: number, theta: number): number[] {
  const factor = fields.positive("factor");
  const low = fields.positive("low_freq_factor");
  const high = fields.positive("high_freq_factor");
  const context = fields.positive("original_max_position_embeddings");
  if (high <= low) throw fields.wrong("high_freq_factor", `above low_freq_factor (${low})`);
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return Math.fround(factor);
    const share = (context / wavelength - low) / (high - low);
    return Math.fround(1 / ((1 - share) / factor + share));
  });
}
