/** Public API of node-bitnet: re-exports only. */
import "./dispose";

export {
  AbortError,
  AddonLoadError,
  BitnetError,
  ClosedError,
  ContextLengthError,
  ConversionError,
  FileError,
  IncompleteTextError,
  InvalidOptionError,
  KernelError,
  KvCacheFullError,
  ModelFormatError,
  OutOfMemoryError,
  QueueFullError,
  StateError,
  ToolError,
  UnsupportedModelError,
} from "./errors";
export { Model } from "./model";
export {
  ChatSession,
  ChatTemplate,
  ChatTurn,
  tool,
  type AnswerOptions,
  type ChatOptions,
  type GivenToolResult,
  type Message,
  type ReplyOptions,
  type Role,
  type Tool,
  type ToolCallContext,
  type ToolChoice,
  type ToolInput,
  type Tools,
} from "./chat";
export { type EvaluateOptions, type KvType, type ModelInfo, type ModelOptions, type ModelStats } from "./engine";
export {
  TextStream,
  toReadableStream,
  toResponse,
  type Chunk,
  type ChunkStream,
  type ContinuationScore,
  type EmbedOptions,
  type FinishReason,
  type GenerationMessage,
  type GenerationOptions,
  type GenerationResult,
  type Trace,
  type JsonSchema,
  type Prompt,
  type SampledScore,
  type SchemaLike,
  type TextFormat,
  type Timings,
  type TokenLogprobs,
  type TokenScore,
  type TraceAttributes,
  type ToolCall,
  type ToolCallDelta,
  type ToolResult,
  type Usage,
  type ValueOf,
} from "./generation";
export { type SamplerName, type SamplingOptions } from "./sampling";
export { type DecodeOptions, type Detokenizer, type EncodeOptions, type Tokenizer } from "./tokenizer";
export { convertToGguf, type ConversionReport, type ConvertOptions } from "./convert";
export { pull, type PulledModel, type PullOptions, type PullProgress } from "./files/hub";
