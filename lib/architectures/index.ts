export type { Architecture } from "./architecture";
export { packedBytes, shortcutBytes } from "./packed_bytes";
export { ggufName, LAYER_ROLES, type LayerRole, type ModelRole } from "./roles";
export { architectureNames, describeFolder, describeModel } from "./registry";
export {
  inspectFile,
  memoryPlan,
  specTensors,
  type Inspection,
  type MemoryOptions,
  type MemoryPlan,
  type TensorSummary,
} from "./inspect";
