import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { ModelSpec } from "../../types/addon";
import { describeFolder, describeModel, specTensors } from "../architectures";
import { MetadataView, readGguf, readTokenizerInfo, type GgufFile } from "../files/gguf";
import { readHfFolder } from "../files/hf_folder";
import { readHfSettings, type Pooling } from "../files/hf_settings";
import { tokenizerFromFolder, tokenizerFromGguf, type Tokenizer } from "../tokenizer";

/** What the files of a model say, before any weight is read. */
export interface OpenedModel {
  /** Absolute path of the file or folder. */
  readonly path: string;
  readonly name: string | undefined;
  readonly spec: ModelSpec;
  /** Parameters of all tensors. */
  readonly parameters: number;
  /** Jinja source of the chat template. */
  readonly chatTemplate: string | undefined;
  /** How the model makes a text's vector of its tokens'; absent: it does not say. */
  readonly pooling: Pooling | undefined;
  /** Makes the tokenizer, on a thread. */
  makeTokenizer(): Promise<Tokenizer>;
}

/** Values of `<architecture>.pooling_type` in GGUF files; 0 is none. */
const POOLING: readonly (Pooling | undefined)[] = [undefined, "mean", "first", "last"];

/**
 * Reads the headers of a GGUF file or a Hugging Face folder.
 * @throws FileError, ModelFormatError, UnsupportedModelError, AbortError
 */
export async function openModel(path: string, signal?: AbortSignal): Promise<OpenedModel> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() ? openFolder(path) : openGguf(path, signal);
}

async function openGguf(path: string, signal: AbortSignal | undefined): Promise<OpenedModel> {
  const file = await readGguf(path, signal ? { signal } : {});
  const spec = describeModel(file);
  const vocabulary = readTokenizerInfo(file);
  return {
    path: file.path,
    name: new MetadataView(file).optionalString("general.name"),
    spec,
    parameters: countParameters(spec),
    chatTemplate: vocabulary.chatTemplate,
    pooling: ggufPooling(file),
    makeTokenizer: () => tokenizerFromGguf(vocabulary),
  };
}

async function openFolder(path: string): Promise<OpenedModel> {
  const folder = await readHfFolder(path);
  const spec = describeFolder(folder);
  const settings = await readHfSettings(folder);
  return {
    path: folder.path,
    name: basename(folder.path),
    spec,
    parameters: countParameters(spec),
    chatTemplate: settings.chatTemplate,
    pooling: settings.pooling,
    makeTokenizer: () => tokenizerFromFolder(folder, settings, spec.vocabularySize),
  };
}

function ggufPooling(file: GgufFile): Pooling | undefined {
  const view = new MetadataView(file);
  const key = `${view.string("general.architecture")}.pooling_type`;
  const type = view.optionalInteger(key, { min: 0, max: POOLING.length - 1 }) ?? 0;
  return POOLING[type];
}

function countParameters(spec: ModelSpec): number {
  let count = 0;
  for (const { rows, columns } of specTensors(spec)) count += rows * columns;
  return count;
}
