import { dynamicTemperature } from "./dynamic_temperature";
import { minP } from "./min_p";
import { mirostat } from "./mirostat";
import type { ResolvedSamplingOptions } from "./options";
import type { SamplerName } from "./order";
import type { Stage } from "./stage";
import { temperature } from "./temperature";
import { topK } from "./top_k";
import { topNSigma } from "./top_n_sigma";
import { topP } from "./top_p";
import { typicalP } from "./typical_p";
import { xtc } from "./xtc";

/** The stages that the options ask for, in order; those that would change nothing are left out. */
export function makeStages(options: ResolvedSamplingOptions): Stage[] {
  if (options.temperature === 0) return [];
  const make: Record<SamplerName, () => Stage | undefined> = {
    topNSigma: () => (options.topNSigma > 0 ? topNSigma(options.topNSigma) : undefined),
    topK: () => (options.topK > 0 ? topK(options.topK) : undefined),
    typicalP: () => (options.typicalP < 1 ? typicalP(options.typicalP) : undefined),
    topP: () => (options.topP < 1 ? topP(options.topP) : undefined),
    minP: () => (options.minP > 0 ? minP(options.minP) : undefined),
    xtc: () => (options.xtcProbability > 0 ? xtc(options.xtcProbability, options.xtcThreshold) : undefined),
    temperature: () => tempered(options),
  };
  if (options.mirostat) return [temperature(options.temperature), mirostat(options.mirostatTau, options.mirostatEta)];
  return options.samplers.map((name) => make[name]()).filter((stage) => stage !== undefined);
}

function tempered({
  temperature: middle,
  dynamicTemperatureRange: range,
  dynamicTemperatureExponent: exponent,
}: ResolvedSamplingOptions): Stage {
  if (range === 0) return temperature(middle);
  return dynamicTemperature(Math.max(middle - range, 0), middle + range, exponent);
}
