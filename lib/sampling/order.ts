/** Names of the samplers that `samplers` may order. */
export const samplerNames = ["topNSigma", "topK", "typicalP", "topP", "minP", "xtc", "temperature"] as const;

/** A sampler that the option `samplers` may order. */
export type SamplerName = (typeof samplerNames)[number];

/** Order of the samplers after penalties and bias, which is llama.cpp's: top-p and min-p see the untempered model. */
export const defaultOrder: readonly SamplerName[] = samplerNames;
