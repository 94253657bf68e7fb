import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { TokenType, type GgufValue } from "../files/gguf";
import { fileExists, isRecord, readJson } from "../files/safetensors";
import { readSentencePieceModel } from "../tokenizer";
import type { HfSettings } from "../files/hf_settings";
import { findUnreachableToken } from "./merges";
import { isSentencePiece, sentencePieceFromJson, sentencePieceMetadata } from "./sentencepiece";

const MAX_TOKENIZER_BYTES = 256 * 1024 * 1024;

interface PreTokenizer {
  /** Value of `tokenizer.ggml.pre`. */
  name: string;
  /** Whether readers of that name take a word that is a token as it is, without merging. */
  ignoreMerges: boolean;
  /** Unicode normal form that readers of that name apply first. */
  normalForm?: string;
}

/** Split patterns by their text; a pattern that is not here is refused, since a near guess splits some words wrongly. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  [
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    { name: "llama-bpe", ignoreMerges: true },
  ],
  [
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    { name: "qwen2", ignoreMerges: false, normalForm: "NFC" },
  ],
]);

/** GPT-2's pattern is built into the byte-level step; with NFC it is GPT-NeoX's tokenizer. */
const BYTE_LEVEL: readonly PreTokenizer[] = [
  { name: "gpt-2", ignoreMerges: false },
  { name: "olmo", ignoreMerges: false, normalForm: "NFC" },
];

/**
 * The `tokenizer.*` metadata of a Hugging Face folder: of its tokenizer.json, which must be a byte-level BPE of a known
 * split pattern or a SentencePiece vocabulary, else of its tokenizer.model.
 * @throws ModelFormatError, UnsupportedModelError naming what cannot be carried over.
 */
export async function readHfTokenizer(
  folder: string,
  vocabularySize: number,
  settings: HfSettings,
): Promise<Map<string, GgufValue>> {
  const path = join(folder, "tokenizer.json");
  const sentencePiece = join(folder, "tokenizer.model");
  if (!(await fileExists(path)) && (await fileExists(sentencePiece))) {
    const vocabulary = readSentencePieceModel(await readFile(sentencePiece), { ...settings, vocabularySize });
    return withSettings(sentencePiece, sentencePieceMetadata(vocabulary), vocabulary.tokens.length, {
      ...settings,
      bosId: vocabulary.bosId,
      eosIds: vocabulary.eosIds,
    });
  }
  const json = await readJson(path, MAX_TOKENIZER_BYTES);
  const model = isRecord(json) ? json.model : undefined;
  if (!isRecord(json) || !isRecord(model)) throw new ModelFormatError(`"${path}" has no object "model".`);
  const pieces = isSentencePiece(model);
  const pre = pieces ? undefined : preTokenizer(path, json);
  const { tokens, types } = readTokens(path, json, model, vocabularySize);
  const merges = readMerges(path, model, new Set(tokens));
  const { bos: addBos, endId } = readAround(path, json, settings.bosId);
  if (!pre) {
    const vocabulary = await sentencePieceFromJson({ path, json, model, tokens, types, merges, addBos });
    return withSettings(path, sentencePieceMetadata(vocabulary), tokens.length, settings, endId);
  }
  checkIgnoreMerges(path, model, pre, tokens, types, merges);
  const entries: [string, GgufValue][] = [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text(pre.name)],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "array", elementType: "int32", value: types }],
    ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: merges.map((pair) => pair.join(" ")) }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: addBos }],
  ];
  return withSettings(path, entries, tokens.length, settings, endId);
}

/** Adds the special ids and the chat template. @param endId the token that goes behind every text */
function withSettings(
  path: string,
  entries: [string, GgufValue][],
  size: number,
  { bosId, eosIds: ends, padId, chatTemplate }: HfSettings,
  endId?: number,
): Map<string, GgufValue> {
  const metadata = new Map(entries);
  // Readers put the EOS behind texts, and nothing else.
  const eosIds = endId === undefined ? ends : [...new Set([endId, ...ends])];
  if (endId !== undefined) metadata.set("tokenizer.ggml.add_eos_token", { type: "bool", value: true });
  const id = (key: string, value: number | undefined): void => {
    if (value === undefined) return;
    if (value >= size) throw new ModelFormatError(`"${path}" has no token ${value}, which config.json names.`);
    metadata.set(`tokenizer.ggml.${key}`, { type: "uint32", value });
  };
  id("bos_token_id", bosId);
  id("eos_token_id", eosIds[0]);
  id("eot_token_id", eosIds[1]);
  id("eom_token_id", eosIds[2]);
  if (eosIds.length > 3) {
    throw new UnsupportedModelError(`The folder of "${path}" names more than three end-of-text tokens.`);
  }
  id("padding_token_id", padId);
  if (chatTemplate !== undefined) metadata.set("tokenizer.chat_template", text(chatTemplate));
  return metadata;
}

function text(value: string): GgufValue {
  return { type: "string", value };
}

function preTokenizer(path: string, json: Record<string, unknown>): PreTokenizer {
  const { normalizer, pre_tokenizer: outer } = json;
  const normalForm = isRecord(normalizer) ? normalizer.type : undefined;
  const normalises = (found: PreTokenizer): boolean => normalForm === found.normalForm;
  if (normalizer !== null && normalizer !== undefined && normalForm !== "NFC") {
    throw new UnsupportedModelError(`"${path}" normalises text, which no supported GGUF pre-tokenizer does.`);
  }
  if (isRecord(outer) && outer.type === "ByteLevel" && outer.add_prefix_space === false && outer.use_regex !== false) {
    const found = BYTE_LEVEL.find(normalises);
    if (found) return found;
  }
  const steps: unknown = isRecord(outer) && outer.type === "Sequence" ? outer.pretokenizers : undefined;
  const [split, bytes] = Array.isArray(steps) && steps.length === 2 ? (steps as unknown[]) : [];
  const pattern = isRecord(split) && isRecord(split.pattern) ? split.pattern.Regex : undefined;
  const plainSplit = isRecord(split) && split.behavior === "Isolated" && split.invert !== true;
  const plainBytes = isRecord(bytes) && bytes.type === "ByteLevel" && bytes.add_prefix_space === false;
  const known = typeof pattern === "string" ? PRE_TOKENIZERS.get(pattern) : undefined;
  if (known && normalises(known) && plainSplit && plainBytes && bytes.use_regex === false) return known;
  throw new UnsupportedModelError(
    `"${path}" splits text in a way that has no known name in GGUF (pattern ${JSON.stringify(pattern)}). Supported: the ` +
      `byte-level patterns of Llama 3, Qwen 2 (with NFC), GPT-2 and GPT-NeoX (with NFC).`,
  );
}

function readTokens(
  path: string,
  json: Record<string, unknown>,
  model: Record<string, unknown>,
  size: number,
): { tokens: string[]; types: Int32Array } {
  if (model.type !== "BPE" || !isRecord(model.vocab)) {
    throw new UnsupportedModelError(`"${path}" is no BPE tokenizer; only those can be converted.`);
  }
  const unset = ["dropout", "continuing_subword_prefix", "end_of_word_suffix"];
  for (const key of isSentencePiece(model) ? unset : [...unset, "unk_token"]) {
    const value = model[key];
    if (value !== null && value !== undefined && value !== "") {
      throw new UnsupportedModelError(`"${path}": model.${key} is ${JSON.stringify(value)}, which GGUF cannot carry.`);
    }
  }
  const tokens: (string | undefined)[] = new Array<undefined>(size).fill(undefined);
  const types = new Int32Array(size).fill(TokenType.Normal);
  const place = (id: unknown, token: string, type: number): void => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= size) {
      throw new ModelFormatError(
        `"${path}": token ${JSON.stringify(token)} has id ${String(id)}, outside 0 to ${size - 1}.`,
      );
    }
    const before = tokens[id];
    if (before !== undefined && before !== token) {
      throw new ModelFormatError(
        `"${path}": id ${id} stands for ${JSON.stringify(before)} and ${JSON.stringify(token)}.`,
      );
    }
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(model.vocab)) place(id, token, TokenType.Normal);
  const added: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  for (const entry of added) {
    if (!isRecord(entry) || typeof entry.content !== "string") {
      throw new ModelFormatError(`"${path}" has an added token without content.`);
    }
    if (entry.lstrip === true || entry.rstrip === true || entry.single_word === true) {
      throw new UnsupportedModelError(
        `"${path}": added token ${JSON.stringify(entry.content)} strips its surroundings.`,
      );
    }
    // Gemma 3's text models share a file with those that see images, whose token they have no embedding for.
    if (typeof entry.id === "number" && entry.id >= size && !Object.hasOwn(model.vocab, entry.content)) continue;
    place(entry.id, entry.content, entry.special === true ? TokenType.Control : TokenType.UserDefined);
  }
  const texts = tokens.map((token, id) => {
    if (token !== undefined) return token;
    types[id] = TokenType.Unused;
    return `[PAD${id}]`;
  });
  return { tokens: texts, types };
}

function readMerges(path: string, model: Record<string, unknown>, tokens: ReadonlySet<string>): [string, string][] {
  const list: unknown[] = Array.isArray(model.merges) ? model.merges : [];
  return list.map((merge, i) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(pair) && pair.length === 2) {
      const [left, right] = pair as unknown[];
      const ok = typeof left === "string" && typeof right === "string" && tokens.has(left) && tokens.has(right);
      if (ok && tokens.has(left + right) && !left.includes(" ") && !right.includes(" ")) return [left, right];
    }
    throw new ModelFormatError(
      `"${path}": merge ${i}, ${JSON.stringify(merge)}, is no pair of tokens that make a token.`,
    );
  });
}

function checkIgnoreMerges(
  path: string,
  model: Record<string, unknown>,
  pre: PreTokenizer,
  tokens: readonly string[],
  types: Int32Array,
  merges: readonly (readonly [string, string])[],
): void {
  if ((model.ignore_merges === true) === pre.ignoreMerges) return;
  const plain = tokens.filter((_, id) => types[id] === TokenType.Normal);
  const unreachable = findUnreachableToken(plain, merges);
  if (unreachable === undefined) return;
  throw new UnsupportedModelError(
    `"${path}": the pre-tokenizer "${pre.name}" ${pre.ignoreMerges ? "takes" : "does not take"} words that are tokens as ` +
      `they are, this tokenizer does the opposite, and it matters: ${JSON.stringify(unreachable)} does not merge into itself.`,
  );
}

/** What goes around every text. */
interface Around {
  /** BOS in front. */
  bos: boolean;
  /** A token behind, which last-token pooling reads. */
  endId: number | undefined;
}

/**
 * What the post-processor puts around a text: BOS in front, one token behind, or nothing.
 * @throws UnsupportedModelError where it does more, which GGUF could not carry
 */
function readAround(path: string, json: Record<string, unknown>, bosId: number | undefined): Around {
  const outer = json.post_processor;
  const steps: unknown[] = isRecord(outer) && Array.isArray(outer.processors) ? outer.processors : outer ? [outer] : [];
  const around: Around = { bos: false, endId: undefined };
  for (const step of steps) {
    if (isRecord(step) && step.type === "ByteLevel") continue;
    const single: unknown[] =
      isRecord(step) && step.type === "TemplateProcessing" && Array.isArray(step.single) ? step.single : [];
    const text = single.findIndex((item) => isRecord(item) && "Sequence" in item);
    const idOf = (item: unknown): number | undefined => {
      const name = isRecord(item) && isRecord(item.SpecialToken) ? item.SpecialToken.id : undefined;
      const specials: unknown = isRecord(step) ? step.special_tokens : undefined;
      const special = typeof name === "string" && isRecord(specials) ? specials[name] : undefined;
      const ids: unknown[] = isRecord(special) && Array.isArray(special.ids) ? special.ids : [];
      return ids.length === 1 && typeof ids[0] === "number" ? ids[0] : undefined;
    };
    const [before, after] = [single.slice(0, text).map(idOf), single.slice(text + 1).map(idOf)];
    const [front, ...moreFront] = before;
    const [end, ...moreEnd] = after;
    const wrongFront = before.length > 0 && (front === undefined || front !== bosId || around.bos);
    const wrongEnd = after.length > 0 && (end === undefined || around.endId !== undefined);
    if (text < 0 || wrongFront || wrongEnd || moreFront.length + moreEnd.length > 0) {
      throw new UnsupportedModelError(
        `"${path}" adds tokens around a text other than the BOS of config.json in front and one token behind.`,
      );
    }
    around.bos ||= before.length > 0;
    around.endId ??= end;
  }
  return around;
}
