import { channel } from "node:diagnostics_channel";
import type { ModelInfo } from "../engine";
import type { Chunk } from "./types";

/** Messages of the channel "node-bitnet:generation": one for each text that was read to its end. */
export interface GenerationMessage extends Pick<Chunk, "finishReason" | "usage" | "timings"> {
  /** What was called: "model.stream" for example. */
  operation: string;
  /** Path of the model. */
  model: string;
}

const generations = channel("node-bitnet:generation");

/** Tells subscribers of `node:diagnostics_channel` (tracing and metrics) about a text; costs nothing without any. */
export function publishResult(operation: string, { path }: ModelInfo, last: Chunk): void {
  if (!generations.hasSubscribers) return;
  const { finishReason, usage, timings } = last;
  const message: GenerationMessage = {
    operation,
    model: path,
    ...(finishReason ? { finishReason } : {}),
    ...(usage ? { usage } : {}),
    ...(timings ? { timings } : {}),
  };
  generations.publish(message);
}
