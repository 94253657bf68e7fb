import { stat } from "node:fs/promises";
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { ModelSpec } from "../../types/addon";
import { describeFolder, describeModel, specTensors } from "../architectures";
import { MetadataView, readGguf, readTokenizerInfo, type GgufFile, type GgufVocabulary } from "../files/gguf";
import { StringTable } from "../files/gguf/string_table";
import { hashInPortions } from "../files/table_file";
import { readHfFolder } from "../files/hf_folder";
import { readHfSettings, type Pooling } from "../files/hf_settings";
import { Slicer, tokenizerFromFolder, tokenizerFromGguf, type KeptTables, type Tokenizer } from "../tokenizer";

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
  /** Makes the tokenizer, on a thread. @throws RangeError for tables that another vocabulary was made into */
  makeTokenizer(kept?: KeptTables): Promise<Tokenizer>;
  /** What tells the vocabulary from all others, where it is large enough for its tables to be kept. */
  vocabularyKey?: (() => Promise<string>) | undefined;
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
    makeTokenizer: (kept) => tokenizerFromGguf(vocabulary, kept),
    vocabularyKey: vocabularyKey(vocabulary),
  };
}

/** Merges from which on making the tables takes long enough. */
const MANY_MERGES = 16_384;

function vocabularyKey({ pre, tokens, tokenTypes, merges }: GgufVocabulary): (() => Promise<string>) | undefined {
  if (!(tokens instanceof StringTable && merges instanceof StringTable) || merges.length < MANY_MERGES)
    return undefined;
  return async () => {
    const slicer = new Slicer();
    const hash = createHash("sha256").update(JSON.stringify([pre, tokens.length, merges.length]));
    // The bytes have each string's length in them.
    for (const { buffer, byteOffset, byteLength } of [tokenTypes, tokens.bytes, merges.bytes]) {
      await hashInPortions(hash, new Uint8Array(buffer, byteOffset, byteLength), () => slicer.pause());
    }
    return hash.digest("hex");
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
