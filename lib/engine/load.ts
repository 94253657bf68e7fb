import { resolve } from "node:path";
import type { LoadTask, NativeContext, NativeModel } from "../../types/addon";
import { loadAddon } from "../addon";
import { fromNative, InvalidOptionError } from "../errors";
import { BUNDLED_MODEL_PATH } from "../files/bundled";
import { isHubReference, pull } from "../files/hub";
import { describe } from "../validate";
import { abortError, onAbort, throwIfAborted } from "./abort";
import { Engine, type EngineParts, type ModelInfo } from "./engine";
import { openModel, type OpenedModel } from "./open";
import { resolveModelOptions, type ModelOptions, type ResolvedModelOptions } from "./options";
import { planContext, type ContextPlan } from "./plan";
import { allOf, keepPacked, packedCache, packedCacheFolder } from "./packed_cache";
import { chooseKernel } from "./tuner";
import { cachedTokenizer } from "./vocabulary_cache";

/**
 * Loads a GGUF file, a Hugging Face folder, or a model of the Hub ("hf:owner/name"); without a path, the model that ships
 * with the package. The header is read in slices, the vocabulary
 * and the weights on threads of their own: the event loop is never blocked.
 * @throws InvalidOptionError, FileError, ModelFormatError, UnsupportedModelError, OutOfMemoryError, KernelError,
 * AddonLoadError, AbortError
 */
export async function loadEngine(path: string | undefined, options?: ModelOptions): Promise<Engine> {
  if (path !== undefined && (typeof path !== "string" || path === "")) {
    throw new InvalidOptionError(`Model.load: the path must be a string that is not empty, not ${describe(path)}.`);
  }
  const resolved = resolveModelOptions(options, () => loadAddon().cpu());
  const { signal } = resolved;
  throwIfAborted("Model.load", signal);
  const engine = locate(path, resolved).then(([found, rest]) => load(found, rest));
  if (!signal) return engine;
  // Whoever aborts gets the answer now; what was under way frees itself when it comes to its end.
  return new Promise((accept, reject) => {
    const removeListener = onAbort(signal, () => {
      reject(abortError("Model.load", signal));
      engine.then((late) => late.close()).catch(() => undefined);
    });
    engine.then(accept, reject).finally(removeListener);
  });
}

/** Share of loading that a download takes, as far as progress can tell. */
const DOWNLOAD_SHARE = 0.9;

/** The path of a file or folder on this machine; models of the Hub are fetched where they are not in the cache. */
async function locate(
  path: string | undefined,
  options: ResolvedModelOptions,
): Promise<[path: string, options: ResolvedModelOptions]> {
  if (path === undefined || !isHubReference(path)) return [resolve(path ?? BUNDLED_MODEL_PATH), options];
  const { signal, onProgress } = options;
  let fetched = 0;
  const pulled = await pull(path, {
    cached: true,
    ...(signal ? { signal } : {}),
    onProgress({ received, total }) {
      fetched = DOWNLOAD_SHARE;
      onProgress((received / Math.max(total, 1)) * DOWNLOAD_SHARE);
    },
  });
  return [pulled.path, { ...options, onProgress: (share) => onProgress(fetched + share * (1 - fetched)) }];
}

async function load(path: string, options: ResolvedModelOptions): Promise<Engine> {
  const { signal } = options;
  const addon = loadAddon();
  const opened = await openModel(path, signal);
  const { spec } = opened;
  const plan = planContext(spec, options);
  throwIfAborted("Model.load", signal);

  const folder = packedCacheFolder(options.packedCache, plan.mapped);
  const made = cachedTokenizer(opened, folder, addon.version);
  // A failure is dealt with below; until then it must not count as unhandled.
  made.catch(() => undefined);
  const held: { close(): void }[] = [];
  try {
    const progress = splitProgress(options.onProgress);
    const choice = await chooseKernel(addon, spec, { ...options, onProgress: progress.tuning });
    throwIfAborted("Model.load", signal);
    const { threads, head } = options;
    // Mapped weights are read whole, piece by piece: that single columns can be skipped is of no use there.
    const shortcuts = { head: plan.shortcuts || plan.mapped ? head : ("full" as const), sparsity: !plan.mapped };
    const cache = await packedCache(
      spec,
      { kernel: choice.kernel, ...shortcuts },
      {
        folder,
        version: addon.version,
        bytes: plan.packedBytes,
        mapped: plan.mapped,
        residentBytes: plan.residentBytes,
      },
    );
    throwIfAborted("Model.load", signal);
    const cached = cache ? { cache } : {};
    const native = await loadWeights(() => {
      return addon.loadModel(spec, { ...choice, threads, ...shortcuts, ...cached, onProgress: progress.packing });
    }, signal);
    held.push(native);
    const weightsWork = keepPacked(native, cache);
    const context = createContext(native, plan, options);
    held.push(context);
    const { tokenizer, cacheWork } = await made;
    const parts = { native, context, tokenizer, cacheWork: allOf([weightsWork, cacheWork]) };
    return makeEngine(parts, { opened, plan, options });
  } catch (error) {
    for (const each of held) each.close();
    made.then(({ tokenizer }) => tokenizer.close()).catch(() => undefined);
    throw fromNative(error);
  }
}

/** Share of loading that is shown for timing the kernels, where they are timed. */
const TUNING_SHARE = 0.3;

/** One progress that rises from 0 to 1, made of those of two steps of which the first may be left out. */
function splitProgress(onProgress: (share: number) => void): Record<"tuning" | "packing", (share: number) => void> {
  let before = 0;
  return {
    tuning: (share) => {
      before = TUNING_SHARE;
      onProgress(share * TUNING_SHARE);
    },
    packing: (share) => onProgress(before + share * (1 - before)),
  };
}

async function loadWeights(start: () => LoadTask, signal: AbortSignal | undefined): Promise<NativeModel> {
  const task = start();
  const removeListener = onAbort(signal, () => task.cancel());
  try {
    return await task.promise;
  } finally {
    removeListener();
  }
}

function createContext(native: NativeModel, plan: ContextPlan, options: ResolvedModelOptions): NativeContext {
  return native.createContext({
    threads: options.threads,
    kvType: plan.kvType,
    kvBlocks: plan.kvBlocks,
    maxBatchTokens: plan.maxBatchTokens,
    maxSequenceLength: plan.contextLength,
  });
}

interface LoadedFrom {
  opened: OpenedModel;
  plan: ContextPlan;
  options: ResolvedModelOptions;
}

function makeEngine(
  parts: Pick<EngineParts, "native" | "context" | "tokenizer" | "cacheWork">,
  { opened, plan, options }: LoadedFrom,
): Engine {
  const { native, context } = parts;
  const { path, name, spec, parameters, chatTemplate } = opened;
  const { packedBytes, mappedBytes } = native;
  const info: ModelInfo = {
    path,
    ...(name === undefined ? {} : { name }),
    architecture: spec.architecture,
    parameters,
    contextLength: plan.contextLength,
    modelContextLength: spec.contextLength,
    vocabularySize: spec.vocabularySize,
    embeddingLength: spec.embeddingLength,
    layerCount: spec.layerCount,
    headCount: spec.headCount,
    headCountKv: spec.headCountKv,
    ffnLength: spec.ffnLength,
    ...(opened.pooling === undefined ? {} : { pooling: opened.pooling }),
    kernel: native.kernel,
    floatLevel: native.floatLevel,
    threads: options.threads,
    kvType: plan.kvType,
    memory: {
      packedBytes,
      mappedBytes,
      contextBytes: context.memoryBytes,
      totalBytes: packedBytes + mappedBytes + context.memoryBytes,
    },
    fromPackedCache: native.fromCache,
    bytesPerToken: native.bytesPerToken,
    macsPerToken: native.macsPerToken,
  };
  const { maxConcurrent, maxQueue } = options;
  const { maxBatchTokens } = plan;
  const prefillChunk = Math.min(options.prefillChunk, maxBatchTokens);
  const { cacheBlocks } = plan;
  const bounds = { maxBatchTokens, prefillChunk, maxConcurrent, maxQueue, cacheBlocks };
  const limits = { vocabularySize: spec.vocabularySize, ...bounds };
  return new Engine({ ...parts, info, spec, limits, chatTemplate });
}
