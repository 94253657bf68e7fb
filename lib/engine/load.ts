import { resolve } from "node:path";
import type { LoadTask, NativeContext, NativeModel } from "../../types/addon";
import { loadAddon } from "../addon";
import { fromNative, InvalidOptionError } from "../errors";
import { BUNDLED_MODEL_PATH } from "../files/bundled";
import type { Tokenizer } from "../tokenizer";
import { describe } from "../validate";
import { abortError, onAbort, throwIfAborted } from "./abort";
import { Engine, type ModelInfo } from "./engine";
import { openModel, type OpenedModel } from "./open";
import {
  planContext,
  resolveModelOptions,
  type ContextPlan,
  type ModelOptions,
  type ResolvedModelOptions,
} from "./options";
import { chooseKernel } from "./tuner";

/**
 * Loads a GGUF file or a Hugging Face folder; without a path, the model that ships with the package. The header is read in slices, the vocabulary
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
  const engine = load(resolve(path ?? BUNDLED_MODEL_PATH), resolved);
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

async function load(path: string, options: ResolvedModelOptions): Promise<Engine> {
  const { signal } = options;
  const addon = loadAddon();
  const opened = await openModel(path, signal);
  const { spec } = opened;
  const plan = planContext(spec, options);
  throwIfAborted("Model.load", signal);

  const tokenizer = opened.makeTokenizer();
  // A failure is dealt with below; until then it must not count as unhandled.
  tokenizer.catch(() => undefined);
  const held: { close(): void }[] = [];
  try {
    const progress = splitProgress(options.onProgress);
    const choice = await chooseKernel(addon, spec, { ...options, onProgress: progress.tuning });
    throwIfAborted("Model.load", signal);
    const native = await loadWeights(
      () => addon.loadModel(spec, { ...choice, threads: options.threads, onProgress: progress.packing }),
      signal,
    );
    held.push(native);
    const parts = { native, context: createContext(native, plan, options), tokenizer: await tokenizer };
    return makeEngine(parts, { opened, plan, options });
  } catch (error) {
    for (const each of held) each.close();
    tokenizer.then((late) => late.close()).catch(() => undefined);
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
    kvType: options.kvType,
    kvBlocks: plan.kvBlocks,
    maxBatchTokens: options.maxBatchTokens,
    maxSequenceLength: plan.contextLength,
  });
}

interface LoadedFrom {
  opened: OpenedModel;
  plan: ContextPlan;
  options: ResolvedModelOptions;
}

function makeEngine(
  parts: { native: NativeModel; context: NativeContext; tokenizer: Tokenizer },
  { opened, plan, options }: LoadedFrom,
): Engine {
  const { native, context, tokenizer } = parts;
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
    kernel: native.kernel,
    floatLevel: native.floatLevel,
    threads: options.threads,
    kvType: options.kvType,
    memory: {
      packedBytes,
      mappedBytes,
      contextBytes: context.memoryBytes,
      totalBytes: packedBytes + mappedBytes + context.memoryBytes,
    },
    bytesPerToken: native.bytesPerToken,
    macsPerToken: native.macsPerToken,
  };
  const { maxBatchTokens, prefillChunk, maxConcurrent } = options;
  const limits = { vocabularySize: spec.vocabularySize, maxBatchTokens, prefillChunk, maxConcurrent };
  return new Engine({ native, context, tokenizer, info, limits, chatTemplate });
}
