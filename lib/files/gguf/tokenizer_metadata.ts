import { ModelFormatError, UnsupportedModelError } from "../../errors";
import { MetadataView } from "./metadata";
import type { GgufFile } from "./types";
import { TokenType, type GgufVocabulary } from "./vocabulary";

/** Keys whose tokens end a text besides `eos_token_id`. */
const END_KEYS = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/** Vocabulary of Llama 3, which Microsoft's 2B4T files carry without naming its pre-tokenizer. */
const LLAMA3_VOCABULARY = 128256;

/**
 * Reads the vocabulary a file carries and checks it in itself: lengths agree, ids lie inside, token types are known.
 * @throws ModelFormatError when the tokenizer is missing or contradicts itself.
 * @throws UnsupportedModelError for a byte-level BPE vocabulary that does not say how text is split.
 */
export function readTokenizerInfo(file: GgufFile): GgufVocabulary {
  const view = new MetadataView(file);
  if (!view.has("tokenizer.ggml.model") || !view.has("tokenizer.ggml.tokens")) {
    throw new ModelFormatError(
      `"${file.path}" has no tokenizer (metadata keys "tokenizer.ggml.model" and "tokenizer.ggml.tokens"). Convert the ` +
        `model together with its tokenizer.json.`,
    );
  }
  const model = view.string("tokenizer.ggml.model");
  const tokens = view.strings("tokenizer.ggml.tokens");
  if (tokens.length === 0) throw view.error("tokenizer.ggml.tokens", "is empty. Convert the model again.");
  const merges = view.optionalStrings("tokenizer.ggml.merges");
  if (model === "gpt2" && merges === undefined) {
    throw view.error("tokenizer.ggml.merges", 'is missing; a "gpt2" vocabulary needs it. Convert the model again.');
  }
  refuseNormalisation(file, view);
  const pre = preTokenizer(file, view, model, tokens.length);
  const scores = view.optionalFloat32s("tokenizer.ggml.scores");
  if (scores !== undefined) checkLength(view, "tokenizer.ggml.scores", scores.length, tokens.length);
  const vocabulary: GgufVocabulary = {
    model,
    tokens,
    tokenTypes: tokenTypes(view, tokens.length),
    eosIds: [],
    // What bitnet.cpp and llama.cpp do without the key: SentencePiece vocabularies start with BOS, BPE ones do not.
    addBos: view.optionalBoolean("tokenizer.ggml.add_bos_token") ?? model === "llama",
  };
  const id = (key: string): number | undefined => view.optionalInteger(key, { min: 0, max: tokens.length - 1 });
  assignDefined(vocabulary, {
    pre,
    merges,
    scores,
    bosId: id("tokenizer.ggml.bos_token_id"),
    eosId: id("tokenizer.ggml.eos_token_id"),
    padId: id("tokenizer.ggml.padding_token_id"),
    unknownId: id("tokenizer.ggml.unknown_token_id"),
    addEos: view.optionalBoolean("tokenizer.ggml.add_eos_token"),
    addSpacePrefix: view.optionalBoolean("tokenizer.ggml.add_space_prefix"),
    chatTemplate: view.optionalString("tokenizer.chat_template"),
  });
  const ends = [vocabulary.eosId, ...END_KEYS.map(id)].filter((value): value is number => value !== undefined);
  vocabulary.eosIds = [...new Set(ends)];
  if (vocabulary.addBos && vocabulary.bosId === undefined) {
    throw view.error("tokenizer.ggml.bos_token_id", "is missing, but texts start with it. Convert the model again.");
  }
  return vocabulary;
}

/** SentencePiece's normaliser, which no model of the supported kinds has: text would be encoded wrongly without it. */
function refuseNormalisation(file: GgufFile, view: MetadataView): void {
  const charsmap = "tokenizer.ggml.precompiled_charsmap";
  const squeezes = "tokenizer.ggml.remove_extra_whitespaces";
  const map = file.metadata.get(charsmap)?.value;
  const maps = map !== undefined && !(ArrayBuffer.isView(map) && map.byteLength === 0);
  if (!maps && view.optionalBoolean(squeezes) !== true) return;
  throw new UnsupportedModelError(
    `"${file.path}": metadata key "${maps ? charsmap : squeezes}" asks for a normalisation of text that is not supported; ` +
      `without it tokens would be wrong.`,
  );
}

function preTokenizer(file: GgufFile, view: MetadataView, model: string, size: number): string | undefined {
  const pre = view.optionalString("tokenizer.ggml.pre");
  if (pre !== undefined || model !== "gpt2") return pre;
  const architecture = view.optionalString("general.architecture");
  if ((architecture === "bitnet-b1.58" || architecture === "bitnet-25") && size === LLAMA3_VOCABULARY) {
    return "llama-bpe";
  }
  throw new UnsupportedModelError(
    `"${file.path}" does not say how its tokenizer splits text (metadata key "tokenizer.ggml.pre"); a guess would give ` +
      `wrong tokens silently. Convert the original model with "node-bitnet convert", or add the key with gguf-py's ` +
      `gguf_new_metadata, for example "llama-bpe" for Llama 3 vocabularies.`,
  );
}

function tokenTypes(view: MetadataView, length: number): Int32Array {
  const types = view.optionalInt32s("tokenizer.ggml.token_type");
  if (types === undefined) return new Int32Array(length).fill(TokenType.Normal);
  checkLength(view, "tokenizer.ggml.token_type", types.length, length);
  // 0 is "undefined" in ggml and treated as normal there.
  const wrong = types.findIndex((type) => type < 0 || type > TokenType.Byte);
  if (wrong >= 0)
    throw view.error("tokenizer.ggml.token_type", `has the unknown type ${types[wrong]} for token ${wrong}.`);
  return types;
}

function checkLength(view: MetadataView, key: string, found: number, wanted: number): void {
  if (found === wanted) return;
  throw view.error(key, `has ${found} entries for ${wanted} tokens. The file is damaged or converted wrongly.`);
}

/** Copies the values that are there: absent properties stay absent. */
function assignDefined<T extends object>(target: T, values: { [K in keyof T]?: T[K] | undefined }): void {
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) Object.assign(target, { [key]: value });
  }
}
