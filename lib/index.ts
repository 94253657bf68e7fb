/** Public API of node-bitnet: re-exports only. */
import "./dispose";

export * from "./errors";
export type { CpuInfo, KernelInfo, WeightFormat } from "../types/addon";
