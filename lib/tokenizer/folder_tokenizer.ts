import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, ModelFormatError } from "../errors";
import type { HfFolder } from "../files/hf_folder";
import type { HfSettings } from "../files/hf_settings";
import { fileExists } from "../files/safetensors";
import { openRegularFile } from "../files/regular_file";
import { tokenizerFromGguf } from "./gguf_tokenizer";
import { tokenizerFromJson } from "./json_tokenizer";
import { readSentencePieceModel } from "./sentencepiece_model";
import type { Tokenizer } from "./types";

const MAX_TOKENIZER_BYTES = 256 << 20;

/**
 * The tokenizer of a Hugging Face folder: tokenizer.json, else SentencePiece's tokenizer.model.
 * @throws FileError, ModelFormatError, UnsupportedModelError
 */
export async function tokenizerFromFolder(
  folder: HfFolder,
  settings: HfSettings,
  vocabularySize: number,
): Promise<Tokenizer> {
  const { bosId, eosIds } = settings;
  const json = join(folder.path, "tokenizer.json");
  if (await fileExists(json)) {
    return tokenizerFromJson(await readWhole(json), { bosId, eosIds, vocabularySize });
  }
  const model = join(folder.path, "tokenizer.model");
  if (await fileExists(model)) {
    const bytes = await readWhole(model);
    return tokenizerFromGguf(readSentencePieceModel(bytes, { ...settings, vocabularySize }));
  }
  throw new FileError(
    `"${folder.path}" has neither "tokenizer.json" nor "tokenizer.model". Download the model's tokenizer files too.`,
  );
}

async function readWhole(path: string): Promise<Uint8Array> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size > MAX_TOKENIZER_BYTES) {
      throw new ModelFormatError(`"${path}" has ${size} bytes; at most ${MAX_TOKENIZER_BYTES} are accepted.`);
    }
    // Not pooled memory: the bytes are handed to a thread.
    return new Uint8Array(await readFile(handle));
  } finally {
    await handle.close();
  }
}
