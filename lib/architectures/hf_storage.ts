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
  | "packed-divide";

/**
 * How weights are stored, from `quantization_config`, or from `weight_bits` of 1bitLLM's models.
 * @throws UnsupportedModelError where nothing says that weights are ternary, or says it in a way not known here
 */
export function readStorage(path: string, config: Readonly<Record<string, unknown>>, fields: HfFields): WeightStorage {
  const value = fields.take("quantization_config");
  if (isRecord(value)) return fromQuantizationConfig(path, value);
  if (config.weight_bits !== undefined) {
    fields.fixed("weight_bits", 1);
    fields.fixed("input_bits", 8);
    return "master";
  }
  throw new UnsupportedModelError(
    `"${path}" has no "quantization_config". Without it nothing says that the weights are to be made ternary; ` +
      `for BitNet master weights add {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": ` +
      `"online"}.`,
  );
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
