import { join } from "node:path";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { isRecord, readJson } from "../files/safetensors";

/** How linear weights are stored, from `quantization_config`. */
export type WeightStorage =
  /** Master weights in a float type, made ternary here. */
  | "master"
  /** uint8 codes; the weight is code * weight_scale (`autobitlinear`, offline). */
  | "packed-multiply"
  /** uint8 codes; the weight is code / weight_scale (`bitlinear`). */
  | "packed-divide";

/** The hyper-parameters of a Hugging Face BitNet model. */
export interface HfConfig {
  vocabularySize: number;
  contextLength: number;
  embeddingLength: number;
  layerCount: number;
  ffnLength: number;
  headCount: number;
  headCountKv: number;
  headDim: number;
  rmsNormEpsilon: number;
  ropeTheta: number;
  activation: "relu2" | "silu";
  tiedHead: boolean;
  storage: WeightStorage;
  bosId: number | undefined;
  /** Ids that end a text; the first is the EOS. */
  eosIds: number[];
  padId: number | undefined;
}

const MAX_CONFIG_BYTES = 1 << 20;

/** Keys that do not change what the model computes in inference. */
const HARMLESS = new Set([
  "architectures",
  "auto_map",
  "torch_dtype",
  "dtype",
  "use_cache",
  "initializer_range",
  "transformers_version",
  "_name_or_path",
  "attention_dropout",
  "pretraining_tp",
]);

/** Keys of config.json that must be absent or have this value. */
const FIXED: Readonly<Record<string, unknown>> = {
  model_type: "bitnet",
  attention_bias: false,
  mlp_bias: false,
  rope_scaling: null,
};

/**
 * Reads a model folder's config.json strictly: a key this converter does not know is refused, since it may change the
 * model's results.
 * @throws ModelFormatError for wrong values, UnsupportedModelError for features that cannot be converted.
 */
export async function readHfConfig(folder: string): Promise<HfConfig> {
  const path = join(folder, "config.json");
  const json = await readJson(path, MAX_CONFIG_BYTES);
  if (!isRecord(json)) throw new ModelFormatError(`"${path}" is no JSON object.`);
  const config = new Fields(path, json);
  for (const [key, value] of Object.entries(FIXED)) config.fixed(key, value);
  if (json.model_type === undefined) throw config.wrong("model_type", '"bitnet"');
  const embeddingLength = config.count("hidden_size");
  const headCount = config.count("num_attention_heads");
  const headDim = config.optionalCount("head_dim") ?? embeddingLength / headCount;
  if (!Number.isInteger(headDim)) throw config.wrong("num_attention_heads", "a divisor of hidden_size");
  const result: HfConfig = {
    vocabularySize: config.count("vocab_size"),
    contextLength: config.count("max_position_embeddings"),
    embeddingLength,
    layerCount: config.count("num_hidden_layers"),
    ffnLength: config.count("intermediate_size"),
    headCount,
    headCountKv: config.optionalCount("num_key_value_heads") ?? headCount,
    headDim,
    rmsNormEpsilon: config.positive("rms_norm_eps"),
    ropeTheta: ropeTheta(config),
    activation: activation(config),
    tiedHead: config.boolean("tie_word_embeddings") ?? false,
    storage: storage(config),
    bosId: config.ids("bos_token_id")[0],
    eosIds: config.ids("eos_token_id"),
    padId: config.ids("pad_token_id")[0],
  };
  config.finish();
  return result;
}

function activation(config: Fields): "relu2" | "silu" {
  const value = config.take("hidden_act");
  if (value === "relu2" || value === "silu") return value;
  throw config.wrong("hidden_act", '"relu2" or "silu"');
}

/** `rope_theta`, or since transformers 5 `rope_parameters` of the default kind. */
function ropeTheta(config: Fields): number {
  const parameters = config.take("rope_parameters");
  if (parameters === undefined || parameters === null) return config.positive("rope_theta");
  if (!isRecord(parameters)) throw config.wrong("rope_parameters", "an object");
  const nested = new Fields(config.path, parameters, "rope_parameters.");
  nested.fixed("rope_type", "default");
  const theta = nested.positive("rope_theta");
  nested.finish();
  const outer = config.take("rope_theta");
  if (outer !== undefined && outer !== theta) throw config.wrong("rope_theta", `${theta}, as in rope_parameters`);
  return theta;
}

function storage(config: Fields): WeightStorage {
  const value = config.take("quantization_config");
  if (!isRecord(value)) {
    throw new UnsupportedModelError(
      `"${config.path}" has no "quantization_config". Without it nothing says that the weights are to be made ternary; ` +
        `for BitNet master weights add {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": ` +
        `"online"}.`,
    );
  }
  const fields = new Fields(config.path, value, "quantization_config.");
  fields.fixed("quant_method", "bitnet");
  fields.fixed("use_rms_norm", false);
  fields.fixed("modules_to_not_convert", null);
  fields.take("rms_norm_eps");
  // The defaults of transformers' BitNetQuantConfig.
  const linearClass = fields.take("linear_class") ?? "bitlinear";
  const mode = fields.take("quantization_mode") ?? "offline";
  fields.finish();
  if (linearClass === "autobitlinear" && mode === "online") return "master";
  if (linearClass === "autobitlinear" && mode === "offline") return "packed-multiply";
  if (linearClass === "bitlinear" && mode === "offline") return "packed-divide";
  throw new UnsupportedModelError(
    `"${config.path}": quantization_config has linear_class ${JSON.stringify(linearClass)} with quantization_mode ` +
      `${JSON.stringify(mode)}, a combination whose scales are not known here.`,
  );
}

/** A JSON object whose keys are taken one by one; what is left in the end is unknown. */
class Fields {
  private readonly taken = new Set<string>();

  constructor(
    readonly path: string,
    private readonly object: Record<string, unknown>,
    private readonly prefix = "",
  ) {}

  take(key: string): unknown {
    this.taken.add(key);
    return this.object[key];
  }

  fixed(key: string, wanted: unknown): void {
    const value = this.take(key);
    if (value === undefined || value === null || value === wanted) return;
    throw new UnsupportedModelError(
      `"${this.path}": "${this.prefix}${key}" is ${JSON.stringify(value)}; only ${JSON.stringify(wanted)} can be converted.`,
    );
  }

  count(key: string): number {
    const value = this.take(key);
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 1 << 24) return value;
    throw this.wrong(key, "a positive integer");
  }

  optionalCount(key: string): number | undefined {
    const value = this.take(key);
    return value === undefined || value === null ? undefined : this.count(key);
  }

  positive(key: string): number {
    const value = this.take(key);
    if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
    throw this.wrong(key, "a positive number");
  }

  boolean(key: string): boolean | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.wrong(key, "true or false");
  }

  /** A token id, a list of them, or nothing. */
  ids(key: string): number[] {
    const value = this.take(key);
    const list: unknown[] = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
    if (list.every((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0)) return list;
    throw this.wrong(key, "a token id or a list of them");
  }

  wrong(key: string, wanted: string): ModelFormatError {
    const value = JSON.stringify(this.object[key]) as string | undefined;
    return new ModelFormatError(
      `"${this.path}": "${this.prefix}${key}" is ${value ?? "missing"}; it must be ${wanted}.`,
    );
  }

  finish(): void {
    const left = Object.keys(this.object).filter(
      (key) => !this.taken.has(key) && !(this.prefix === "" && HARMLESS.has(key)),
    );
    if (left.length === 0) return;
    throw new UnsupportedModelError(
      `"${this.path}" has keys that are unknown here and may change the model's results: ` +
        `${left.map((key) => `"${this.prefix}${key}"`).join(", ")}.`,
    );
  }
}
