export { defaultOrder, SamplerChain, type NeedAll, type Requirements, type Sampled } from "./chain";
export { logprobOf, logSoftmax } from "./full";
export {
  resolveSamplingOptions,
  samplingChecks,
  samplingDefaults,
  type ResolvedSamplingOptions,
  type SamplingOptions,
} from "./options";
export type { Candidates } from "./pool";
export { Random, randomSeed } from "./random";
