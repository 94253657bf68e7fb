import { NoSuchModelError, type EmbeddingModelV3, type LanguageModelV3, type ProviderV3 } from "@ai-sdk/provider";
import { InvalidOptionError } from "../errors";
import { Model } from "../model";
import { modelBackend, type Backend } from "../server/backend";
import { defaultId } from "../server/registry";
import { checkOptions, describe } from "../validate";
import { BitnetEmbeddingModel, type EmbeddingModelSettings } from "./embedding_model";
import { BitnetLanguageModel } from "./language_model";
import { checkModelOptions, type LanguageModelSettings } from "./settings";

/**
 * A loaded model for the AI SDK's functions: `generateText({ model: bitnet(model), prompt })`. The model stays the
 * caller's, who closes it.
 * @throws InvalidOptionError
 */
export function bitnet(model: Model | Backend, settings?: LanguageModelSettings): LanguageModelV3 {
  return languageModel("bitnet", idOf(model), model, settings);
}

/**
 * A loaded model for the AI SDK's `embed` and `embedMany`.
 * @throws InvalidOptionError
 */
export function bitnetEmbedding(model: Model, settings: EmbeddingModelSettings = {}): EmbeddingModelV3 {
  return embeddingModel("bitnetEmbedding", idOf(model), model, settings);
}

/** What a provider offers. */
export interface ProviderSettings {
  /** Loaded models by the names that callers give. They stay the caller's. */
  models: Readonly<Record<string, Model>>;
  /** For every language model. */
  settings?: LanguageModelSettings;
  /** For every embedding model. */
  embeddingSettings?: EmbeddingModelSettings;
}

/** Several models by name, for `createProviderRegistry` and `customProvider` too. */
export interface BitnetProvider extends ProviderV3 {
  (modelId: string): LanguageModelV3;
}

const providerChecks = { models: record, settings: record, embeddingSettings: record };

/**
 * A provider of several models: `const local = createBitnet({ models: { small, large } })`, then
 * `generateText({ model: local("small"), prompt })`.
 * @throws InvalidOptionError; its functions throw `NoSuchModelError` for other names
 */
export function createBitnet(providerSettings: ProviderSettings): BitnetProvider {
  const {
    models,
    settings,
    embeddingSettings = {},
  } = checkOptions("createBitnet", (providerSettings as unknown) ?? null, providerChecks) as ProviderSettings;
  if ((models as unknown) === undefined) throw new InvalidOptionError('createBitnet: option "models" is missing.');
  const find = (modelId: string, modelType: "languageModel" | "embeddingModel" | "imageModel"): Model => {
    const model = modelType !== "imageModel" && Object.hasOwn(models, modelId) ? models[modelId] : undefined;
    if (model) return model;
    throw new NoSuchModelError({ modelId, modelType });
  };
  for (const [id, model] of Object.entries(models)) languageModel("createBitnet", id, model, settings);
  const language = (modelId: string): LanguageModelV3 =>
    languageModel("createBitnet", modelId, find(modelId, "languageModel"), settings);
  const embedding = (modelId: string): EmbeddingModelV3 =>
    embeddingModel("createBitnet", modelId, find(modelId, "embeddingModel"), embeddingSettings);
  return Object.assign((modelId: string) => language(modelId), {
    specificationVersion: "v3" as const,
    languageModel: language,
    embeddingModel: embedding,
    textEmbeddingModel: embedding,
    imageModel: (modelId: string): never => find(modelId, "imageModel") as never,
  });
}

function languageModel(
  where: string,
  id: string,
  model: Model | Backend,
  { template, ...settings }: LanguageModelSettings = {},
): LanguageModelV3 {
  const defaults = checkModelOptions(where, settings);
  if (model instanceof Model) return new BitnetLanguageModel(id, modelBackend(model, template), defaults);
  if (typeof (model as Partial<Backend> | undefined)?.stream === "function") {
    return new BitnetLanguageModel(id, model, defaults);
  }
  throw new InvalidOptionError(`${where}: the model must be a loaded Model, not ${describe(model)}.`);
}

function embeddingModel(where: string, id: string, model: Model, settings: EmbeddingModelSettings): EmbeddingModelV3 {
  if (model instanceof Model) return new BitnetEmbeddingModel(id, model, settings);
  throw new InvalidOptionError(`${where}: the model must be a loaded Model, not ${describe(model)}.`);
}

function record(name: string, value: unknown): object {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new InvalidOptionError(`${name} must be an object, not ${describe(value)}.`);
}

function idOf(model: Model | Backend): string {
  return model instanceof Model ? defaultId(model.info.path) : "model";
}
