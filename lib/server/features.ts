import { unsupported } from "./api_error";
import type { Backend, BackendOptions, ChatMessage, ToolDefinition } from "./backend";
import { checkTokenIds } from "./sampling_fields";

/** Names of the fields by which an endpoint asks for a feature. */
export interface FieldNames {
  format: string;
}

/**
 * Refuses what the model cannot do: an answer without what was asked for would look like one with it.
 * @throws ApiError 400 naming the field
 */
export function checkFeatures(backend: Backend, options: BackendOptions, names: FieldNames): void {
  const { features, vocabularySize } = backend;
  const reason = "This model does not offer it.";
  if (options.logprobs !== undefined && !features.has("logprobs")) throw unsupported("logprobs", reason);
  if (options.format && !features.has("structured")) throw unsupported(names.format, reason);
  if (options.tools && options.toolChoice !== "none" && !features.has("tools")) throw unsupported("tools", reason);
  const { logitBias, stopTokens, dryBreakers } = options;
  if (logitBias instanceof Map) checkTokenIds((logitBias as Map<number, number>).keys(), vocabularySize, "logit_bias");
  if (stopTokens) checkTokenIds(stopTokens, vocabularySize, "stop_token_ids");
  if (dryBreakers) checkTokenIds(dryBreakers, vocabularySize, "dry_breakers");
}

/** @throws ApiError 400 for function calls in a conversation that the model's template does not know */
export function checkMessages(backend: Backend, messages: readonly ChatMessage[], field: string): void {
  if (backend.features.has("tools")) return;
  const at = messages.findIndex(({ role, toolCalls }) => role === "tool" || toolCalls !== undefined);
  if (at >= 0) throw unsupported(`${field}[${at}]`, "This model does not know function calls.");
}

/** The functions that the model is told of; undefined for none. */
export function offeredTools(
  { features }: Backend,
  { tools, toolChoice }: BackendOptions,
): readonly ToolDefinition[] | undefined {
  return features.has("tools") && toolChoice !== "none" ? tools : undefined;
}

/** Options without what only backends with features know; `tool_choice: "none"` needs none. */
export function withoutTools({
  tools: _t,
  toolChoice: _c,
  parallelToolCalls: _p,
  ...rest
}: BackendOptions): BackendOptions {
  return rest;
}
