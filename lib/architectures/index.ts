export type { Architecture } from "./architecture";
export { architectureNames, describeModel } from "./registry";
export {
  inspectFile,
  memoryPlan,
  type Inspection,
  type MemoryOptions,
  type MemoryPlan,
  type TensorSummary,
} from "./inspect";
