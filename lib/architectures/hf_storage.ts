import { UnsupportedModelError } from "../errors";
import { isRecord } from "../files/safetensors";
import { HfFields } from "./hf_fields";

/** How the linear weights of a Hugging Face folder are stored. */
export type WeightStorage =
  /** Master weights in a float type, made ternary with s = mean |W|. */
  | "master"
  /** uint8 codes; the weight is code * weight_scale (`autobitlinear`, offline). */
  | "packed-multiply"
  /** uint8 codes; the weight is code / weight_scale (`bitlinear`). */
  | "packed-divide"
  /** Ternary weights written out as floats: -s, 0 or s, with s the same in runs of at least 128 columns. */
  | "unpacked"
  | GptqStorage;

/** GPTQ: codes of a few bits with a scale and a zero for each group of columns. */
export interface GptqStorage {
  bits: 2 | 3 | 4;
  /** Columns that share a scale; undefined: all of a row. */
  groupSize: number | undefined;
  /** What is added to stored zeros. */
  zeroOffset: 0 | 1;
}

/**
 * How weights are stored, from `quantization_config`, or from `weight_bits` of 1bitLLM's models. Where neither is there the
 * weights themselves must be ternary, unless every projection has a norm on its input: only BitNet's layers have those,
 * and BitNet-embedding stores master weights without saying so.
 * @throws UnsupportedModelError where it is said in a way not known here
 */
export function readStorage(
  path: string,
  config: Readonly<Record<string, unknown>>,
  fields: HfFields,
  inputNorms: boolean,
): WeightStorage {
  const value = fields.take("quantization_config");
  if (isRecord(value))
    return value.quant_method === "gptq" ? readGptq(path, value) : fromQuantizationConfig(path, value);
  if (value !== undefined && value !== null) throw fields.wrong("quantization_config", "an object");
  if (config.weight_bits !== undefined) {
    fields.fixed("weight_bits", 1);
    fields.fixed("input_bits", 8);
    return "master";
  }
  return inputNorms ? "master" : "unpacked";
}

function fromQuantizationConfig(path: string, value: Record<string, unknown>): WeightStorage {
  const fields = new HfFields(path, value, "quantization_config.");
  fields.fixed("quant_method", "bitnet");
  fields.fixed("use_rms_norm", false);
  const kept = fields.take("modules_to_not_convert");
  const harmless = Array.isArray(kept) && kept.every((module) => module === "lm_head");
  if (kept !== undefined && kept !== null && !harmless) {
    throw new UnsupportedModelError(
      `"${path}": "quantization_config.modules_to_not_convert" is ${JSON.stringify(kept)}; only "lm_head" may be left as ` +
        `it is.`,
    );
  }
  fields.take("rms_norm_eps");
  // The defaults of transformers' BitNetQuantConfig.
  const linearClass = fields.take("linear_class") ?? "bitlinear";
  const mode = fields.take("quantization_mode") ?? "offline";
  fields.finish();
  if (linearClass === "autobitlinear" && mode === "online") return "master";
  if (linearClass === "autobitlinear" && mode === "offline") return "packed-multiply";
  if (linearClass === "bitlinear" && mode === "offline") return "packed-divide";
  throw new UnsupportedModelError(
    `"${path}": quantization_config has linear_class ${JSON.stringify(linearClass)} with quantization_mode ` +
      `${JSON.stringify(mode)}, a combination whose scales are not known here.`,
  );
}

/** Keys of a GPTQ configuration that tell how the model was made, or which of other programs' kernels to use. */
const GPTQ_HISTORY = [
  "batch_size",
  "block_name_to_quantize",
  "cache_block_outputs",
  "damp_percent",
  "dataset",
  "disable_exllama",
  "exllama_config",
  "max_input_length",
  "meta",
  "model_file_base_name",
  "model_name_or_path",
  "model_seqlen",
  "module_name_preceding_first_block",
  "modules_in_block_to_quantize",
  "pad_token_id",
  "quantizer",
  "static_groups",
  "sym",
  "tokenizer",
  "true_sequential",
  "use_cuda_fp16",
  "use_exllama",
];

function readGptq(path: string, value: Record<string, unknown>): GptqStorage {
  const fields = new HfFields(path, value, "quantization_config.");
  fields.fixed("quant_method", "gptq");
  const bits = fields.take("bits");
  if (bits !== 2 && bits !== 3 && bits !== 4) {
    throw new UnsupportedModelError(
      `"${path}": "quantization_config.bits" is ${JSON.stringify(bits)}; GPTQ models of 2, 3 and 4 bits can be run.`,
    );
  }
  const groupSize = fields.take("group_size");
  const whole = groupSize === -1;
  if (!whole && !(typeof groupSize === "number" && groupSize >= 16 && groupSize % 16 === 0)) {
    throw new UnsupportedModelError(
      `"${path}": "quantization_config.group_size" is ${JSON.stringify(groupSize)}; it must be -1 or a multiple of 16.`,
    );
  }
  // Whether columns are in fact out of order shows in g_idx, which is checked when the weights are read.
  fields.take("desc_act");
  fields.fixed("lm_head", false);
  fields.fixed("pack_dtype", "int32");
  const version = fields.take("checkpoint_format") ?? "gptq";
  if (version !== "gptq" && version !== "gptq_v2") {
    throw new UnsupportedModelError(
      `"${path}": "quantization_config.checkpoint_format" is ${JSON.stringify(version)}; only "gptq" and "gptq_v2" can be ` +
        `run.`,
    );
  }
  for (const key of GPTQ_HISTORY) fields.take(key);
  fields.finish();
  return { bits, groupSize: whole ? undefined : groupSize, zeroOffset: version === "gptq" ? 1 : 0 };
}
