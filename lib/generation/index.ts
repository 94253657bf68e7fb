export { toReadableStream, toResponse } from "./adapters";
export { embedTexts, type EmbedOptions } from "./embed";
export type { GenerationMessage } from "./diagnostics";
export { streamText, type Prompt } from "./generate";
export { generationChecks, resolveGenerationOptions } from "./options";
export type { GenerationOptions, ResolvedGenerationOptions } from "./options";
export { generateSamples } from "./samples";
export { scoreContinuation, type ContinuationScore } from "./score";
export { collectText, TextStream } from "./stream";
export type { Chunk, FinishReason, GenerationResult, Timings, TokenLogprobs, TokenScore, Usage } from "./types";
export {
  parseValue,
  resolveSchema,
  type JsonSchema,
  type SchemaLike,
  type TextFormat,
  type ValueOf,
} from "./structured";
