/** Public API of node-bitnet/ai-sdk: re-exports only. */
export { bitnet, bitnetEmbedding, createBitnet, type BitnetProvider, type ProviderSettings } from "./provider";
export type { BitnetModelOptions, LanguageModelSettings } from "./settings";
export type { EmbeddingModelSettings } from "./embedding_model";
