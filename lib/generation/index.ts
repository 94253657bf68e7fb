export { embedTexts, type EmbedOptions } from "./embed";
export { streamText, type Prompt } from "./generate";
export { generationChecks, resolveGenerationOptions } from "./options";
export type { GenerationOptions, ResolvedGenerationOptions } from "./options";
export { collectText, TextStream } from "./stream";
export type { Chunk, FinishReason, GenerationResult, Timings, Usage } from "./types";
