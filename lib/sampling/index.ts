export { SamplerChain, type NeedAll, type Requirements, type Sampled } from "./chain";
export type { Distribution } from "./distribution";
export { logSumExp, logSoftmax } from "./full";
export {
  resolveSamplingOptions,
  samplingChecks,
  samplingDefaults,
  type ResolvedSamplingOptions,
  type SamplingOptions,
} from "./options";
export { allow, type TokenMask } from "./mask";
export { defaultOrder, samplerNames, type SamplerName } from "./order";
export type { Candidates } from "./pool";
export { Random, randomSeed } from "./random";
export { selectTop } from "./select_top";
