export { toReadableStream, toResponse, type ChunkStream } from "./adapters";
export { embedTexts, type EmbedOptions } from "./embed";
export type { GenerationMessage } from "./diagnostics";
export { tracedModel } from "./generation_span";
export { traced, type Trace, type TraceAttributes } from "./tracing";
export { streamOnce, streamText, type Prompt } from "./generate";
export { generationChecks, resolveGenerationOptions } from "./options";
export type { GenerationOptions, ResolvedGenerationOptions } from "./options";
export { generateSamples } from "./samples";
export { evaluateTokens, scoreContinuation, scoreTokens, type ContinuationScore } from "./score";
export { mostPromptTokens } from "./sliding";
export { collectText, TextStream, type PreparedPrompt, type StreamSource } from "./stream";
export { collectResult } from "./value";
export { isWholeCall, ToolCallList } from "./tool_calls";
export type { Chunk, FinishReason, GenerationResult, SampledScore, Timings } from "./types";
export type { TokenLogprobs, TokenScore, Usage } from "./types";
export type { ToolCall, ToolCallDelta, ToolResult } from "./types";
export {
  colon,
  comma,
  compileJsonSchema,
  expressions,
  formOf,
  parseWith,
  type Expression,
  TriggerSearch,
  type Form,
  type Trigger,
  resolveSchema,
  type JsonSchema,
  type SchemaLike,
  type TextFormat,
  type ValueOf,
} from "./structured";
