export { abortError, onAbort, throwIfAborted } from "./abort";
export { Engine, type EvaluateOptions, type ModelInfo } from "./engine";
export { loadEngine } from "./load";
export { estimateMemory, formatBytes, KV_TYPES, memorySize, type KvType, type MemoryEstimate } from "./memory";
export type { ModelOptions } from "./options";
export type { Output, Query, Request } from "./request";
export type { Pooling } from "../files/hf_settings";
export { Sequence } from "./sequence";
export type { SchedulerStats as ModelStats } from "./scheduler";
