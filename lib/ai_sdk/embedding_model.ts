import type { EmbeddingModelV3, EmbeddingModelV3CallOptions, EmbeddingModelV3Result } from "@ai-sdk/provider";
import type { EmbedOptions } from "../generation";
import type { Model } from "../model";

/** How an embedding model is set up; a call may give the same as `providerOptions: { bitnet: ... }`. */
export type EmbeddingModelSettings = Omit<EmbedOptions, "signal">;

/** What the AI SDK asks for; its version 7 has a setting for `dimensions`. */
type EmbeddingCall = EmbeddingModelV3CallOptions & { dimensions?: number };

/** A model of this package as the AI SDK's embedding model. */
export class BitnetEmbeddingModel implements EmbeddingModelV3 {
  readonly specificationVersion = "v3";
  readonly provider = "node-bitnet";
  /** Any number: they are computed together, as many at a time as memory allows. */
  readonly maxEmbeddingsPerCall = undefined;
  readonly supportsParallelCalls = true;

  /** Made by `bitnetEmbedding`. */
  constructor(
    readonly modelId: string,
    private readonly model: Model,
    private readonly settings: EmbeddingModelSettings,
  ) {}

  /** See `model.embed`, whose errors this rejects with. */
  async doEmbed(options: EmbeddingCall): Promise<EmbeddingModelV3Result> {
    const { values, abortSignal, providerOptions, dimensions } = options;
    const given: EmbedOptions = {
      ...this.settings,
      ...(providerOptions?.bitnet as EmbeddingModelSettings | undefined),
      ...(dimensions === undefined ? {} : { dimensions }),
    };
    const [vectors, tokens] = await Promise.all([
      this.model.embed(values, abortSignal ? { ...given, signal: abortSignal } : given),
      this.count(values),
    ]);
    return { embeddings: vectors.map((vector) => Array.from(vector)), usage: { tokens }, warnings: [] };
  }

  /** Tokens that are computed. */
  private async count(values: readonly string[]): Promise<number> {
    const { tokenizer, info } = this.model;
    const lists = await Promise.all(values.map((value) => tokenizer.encode(value)));
    return lists.reduce((total, { length }) => total + Math.min(length, info.contextLength), 0);
  }
}
