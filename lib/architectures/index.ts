export type { Architecture } from "./architecture";
export { packedBytes, sketchBytes } from "./packed_bytes";
export { ggufName, LAYER_ROLES, type LayerRole, type ModelRole } from "./roles";
export { architectureNames, describeFolder, describeModel } from "./registry";
export { linearTensors, specTensors } from "./spec_tensors";
export { defaultAttentionFactor, YARN_BETAS } from "./yarn";
