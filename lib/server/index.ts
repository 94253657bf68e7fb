/** Public API of node-bitnet/server: re-exports only. */
export { bitnetPlugin } from "./plugin";
export { BitnetServer, createHandler, createServer, type BitnetHandler } from "./server";
export type { LogLevel, ServerOptions, ServiceOptions, TlsFiles } from "./options";
export type { ModelConfig } from "./registry";
export type {
  Backend,
  BackendChunk,
  BackendOptions,
  BackendStats,
  ChatMessage,
  EncodedChat,
  Feature,
  TextFormat,
  TokenLogprobs,
  TokenScore,
  ToolCall,
  ToolCallDelta,
  ToolChoice,
  ToolDefinition,
} from "./backend";
