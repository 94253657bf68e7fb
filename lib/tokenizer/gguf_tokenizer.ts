import { ModelFormatError, UnsupportedModelError } from "../errors";
import { StringTable } from "../files/gguf/string_table";
import { type GgufVocabulary, TokenType } from "../files/gguf/vocabulary";
import type { Tables } from "../files/table_file";
import { writePiece } from "./byte_alphabet";
import { ByteLevelEncoder } from "./byte_level/byte_level_encoder";
import { Encoder, libraryWanted } from "./encoder";
import type { KeptTables } from "./kept_tables";
import { JsonWriter } from "./json_writer";
import { type PreTokenizer, preTokenizer } from "./pre_tokenizers";
import { mergesFromScores } from "./sentencepiece_merges";
import { Slicer } from "./slices";
import type { AddedToken } from "./special_splitter";
import { type PlainEncoder, TableTokenizer } from "./table_tokenizer";
import { TokenClass, TokenTable } from "./token_table";
import type { Tokenizer } from "./types";

/** U+2581, which stands for a space in SentencePiece vocabularies. */
const SPACE_MARK = "\u2581";
/** A byte-level piece that is longer is decoded as a string. */
const MOST_PIECE_BYTES = 1024;
const BYTE_PIECE = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * The tokenizer of a GGUF file. Works in slices of a few milliseconds and on a thread, however large the vocabulary.
 * Throws `UnsupportedModelError` for an unknown `model` or `pre`, `ModelFormatError` where the vocabulary contradicts
 * itself.
 */
export async function tokenizerFromGguf(vocabulary: GgufVocabulary, kept: KeptTables = {}): Promise<Tokenizer> {
  checkShape(vocabulary);
  const split = vocabulary.model === "gpt2" ? preTokenizer(vocabulary.pre ?? "(none)") : undefined;
  const slicer = new Slicer();
  const own = split && !libraryWanted() ? split : undefined;
  const tables = own && kept.tables;
  const { table, addedTokens } = tables ? keptTokens(vocabulary, tables) : await readTokens(vocabulary, slicer);
  const encoder = own
    ? await ownEncoder(vocabulary, own, slicer, tables)
    : await libraryEncoder(vocabulary, split, slicer);
  if (encoder instanceof ByteLevelEncoder && !tables) kept.keep?.(new Map([...table.tables, ...encoder.tables]));
  const { bosId, eosId } = vocabulary;
  return new TableTokenizer({
    table,
    encoder,
    addedTokens,
    bosId,
    eosIds: vocabulary.eosIds,
    prefixIds: vocabulary.addBos && bosId !== undefined ? [bosId] : [],
    suffixIds: vocabulary.addEos === true && eosId !== undefined ? [eosId] : [],
    stripLeadingSpace: !split && hasSpacePrefix(vocabulary),
    floor: { composed: split?.normalForm === "NFC", marksSpaces: !split },
  });
}

/** Whether a text can become a token of this type: control tokens stay outside, so that none can reach them. */
function isText(type: number | undefined): boolean {
  return type !== TokenType.Control && type !== TokenType.Unknown;
}

async function ownEncoder(
  vocabulary: GgufVocabulary,
  split: PreTokenizer,
  slicer: Slicer,
  kept: Tables | undefined,
): Promise<PlainEncoder> {
  const { tokens, tokenTypes, merges } = vocabulary;
  const strings = { tokens: StringTable.from(tokens), merges: StringTable.from(merges ?? []) };
  const from = { ...strings, split, isText: (id: number) => isText(tokenTypes[id]) };
  return kept ? ByteLevelEncoder.keptAs(kept, from) : ByteLevelEncoder.make(from, slicer);
}

async function libraryEncoder(
  vocabulary: GgufVocabulary,
  split: PreTokenizer | undefined,
  slicer: Slicer,
): Promise<PlainEncoder> {
  const encoder = new Encoder();
  try {
    const json = new JsonWriter(slicer);
    if (split) await writeByteLevel(vocabulary, split, json, slicer);
    else await writeSentencePiece(vocabulary, json, slicer);
    await encoder.load(json.chunks);
    return encoder;
  } catch (error) {
    encoder.close();
    throw error;
  }
}

function checkShape(vocabulary: GgufVocabulary): void {
  const { model, tokens, tokenTypes, merges, scores, bosId, eosId, eosIds } = vocabulary;
  if (model !== "gpt2" && model !== "llama") {
    throw new UnsupportedModelError(
      `Unknown tokenizer "${model}" (tokenizer.ggml.model); "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE) work`,
    );
  }
  const missing = (key: string): ModelFormatError =>
    new ModelFormatError(`The vocabulary has no usable ${key}: the file is incomplete; convert the model again`);
  if (tokens.length === 0) throw missing("tokenizer.ggml.tokens");
  if (tokenTypes.length !== tokens.length) throw missing("tokenizer.ggml.token_type (one type a token)");
  if (model === "gpt2" && !merges) throw missing("tokenizer.ggml.merges");
  if (model === "llama" && scores?.length !== tokens.length) throw missing("tokenizer.ggml.scores (one score a token)");
  for (const id of [bosId, eosId, ...eosIds]) {
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < tokens.length)) {
      throw new ModelFormatError(`Special token id ${id} is outside of the vocabulary of ${tokens.length} tokens`);
    }
  }
}

async function readTokens(
  { model, tokens, tokenTypes }: GgufVocabulary,
  slicer: Slicer,
): Promise<{ table: TokenTable; addedTokens: AddedToken[] }> {
  const table = new TokenTable(tokens.length);
  const addedTokens: AddedToken[] = [];
  const strings = StringTable.from(tokens);
  const piece = new Uint8Array(MOST_PIECE_BYTES);
  for (let id = 0; id < tokens.length; id++) {
    if ((id & 255) === 0) await slicer.pause();
    const type = tokenTypes[id];
    if (model === "gpt2" && isNormal(type)) {
      const size = writePiece(strings.bytes, strings.start(id), strings.end(id), piece);
      if (size >= 0) {
        table.setFirst(id, piece, size);
        continue;
      }
    }
    const content = strings.at(id) ?? "";
    if (type === TokenType.Control || type === TokenType.Unknown) {
      table.set(id, content, TokenClass.Control);
      addedTokens.push({ id, content, special: true });
    } else if (type === TokenType.UserDefined) {
      table.set(id, content, TokenClass.Always);
      addedTokens.push({ id, content, special: false });
    } else if (type === TokenType.Byte) {
      table.set(id, Uint8Array.of(byteOf(content, id)));
    } else if (type === TokenType.Unused) {
      table.set(id, content);
    } else if (isNormal(type)) {
      // A byte-level piece with characters outside of its alphabet reads as it stands.
      table.set(id, model === "gpt2" ? content : content.replaceAll(SPACE_MARK, " "));
    } else {
      throw new ModelFormatError(`Token ${id} has the unknown type ${type} (tokenizer.ggml.token_type)`);
    }
  }
  return { table, addedTokens };
}

/** What `readTokens` gives, from the table that it made before. @throws RangeError where that is of another size */
function keptTokens(
  { tokens, tokenTypes }: GgufVocabulary,
  kept: Tables,
): { table: TokenTable; addedTokens: AddedToken[] } {
  const addedTokens: AddedToken[] = [];
  for (const [id, type] of tokenTypes.entries()) {
    const special = type === TokenType.Control || type === TokenType.Unknown;
    if (special || type === TokenType.UserDefined) addedTokens.push({ id, content: tokens.at(id) ?? "", special });
  }
  return { table: new TokenTable(tokens.length, kept), addedTokens };
}

function byteOf(content: string, id: number): number {
  const digits = BYTE_PIECE.exec(content)?.[1];
  if (digits === undefined) {
    throw new ModelFormatError(`Token ${id} is said to be a byte, but reads ${JSON.stringify(content)}, not "<0x..>"`);
  }
  return Number.parseInt(digits, 16);
}

async function writeByteLevel(
  vocabulary: GgufVocabulary,
  split: PreTokenizer,
  json: JsonWriter,
  slicer: Slicer,
): Promise<void> {
  const steps: object[] = split.patterns.map((Regex) => {
    return { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
  });
  steps.push({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false });
  json.write(head(split.normalForm ? { type: split.normalForm } : null, { type: "Sequence", pretokenizers: steps }));
  json.write(`"ignore_merges":${split.ignoreMerges === true},"byte_fallback":false,"vocab":{`);
  await writeEntries(vocabulary, isText, json, slicer);
  json.write('},"merges":[');
  await json.writeAll(vocabulary.merges ?? [], (merge) => JSON.stringify(merge));
  json.write("]}}");
}

async function writeSentencePiece(vocabulary: GgufVocabulary, json: JsonWriter, slicer: Slicer): Promise<void> {
  const steps: object[] = [{ type: "Replace", pattern: { String: " " }, content: SPACE_MARK }];
  if (hasSpacePrefix(vocabulary)) steps.unshift({ type: "Prepend", prepend: SPACE_MARK });
  const { tokens, scores, unknownId } = vocabulary;
  const unknown = unknownId === undefined ? undefined : tokens.at(unknownId);
  json.write(head({ type: "Sequence", normalizers: steps }, null));
  json.write(`"byte_fallback":true,"fuse_unk":true,"unk_token":${JSON.stringify(unknown ?? null)},"vocab":{`);
  const normal = await wantedTokens(vocabulary, isNormal, slicer);
  const bytes = await wantedTokens(vocabulary, (type) => type === TokenType.Byte, slicer);
  const written = [...normal.list, ...bytes.list.filter(([text]) => !normal.ids.has(text))];
  if (unknown !== undefined && unknownId !== undefined && !normal.ids.has(unknown)) written.push([unknown, unknownId]);
  await json.writeAll(written, ([text, id]) => `${JSON.stringify(text)}:${id}`);
  json.write('},"merges":[');
  const pieces = normal.list.map(([text, id]) => ({ text, score: scores?.[id] ?? 0 }));
  if (vocabulary.merges) await json.writeAll(vocabulary.merges, (merge) => JSON.stringify(merge));
  else {
    const merges = await mergesFromScores(pieces, (text) => normal.ids.get(text), slicer);
    await json.writeAll(merges, (merge) => JSON.stringify(merge));
  }
  json.write("]}}");
}

/** Everything of a tokenizer.json up to and into the model. */
function head(normalizer: object | null, pre_tokenizer: object | null): string {
  const start = JSON.stringify({ version: "1.0", added_tokens: [], normalizer, pre_tokenizer });
  return `${start.slice(0, -1)},"post_processor":null,"decoder":null,"model":{"type":"BPE",`;
}

/** Writes text and id of the tokens of the wanted types, without keeping any: large vocabularies strain the collector. */
async function writeEntries(
  { tokens, tokenTypes }: GgufVocabulary,
  wanted: (type: number) => boolean,
  json: JsonWriter,
  slicer: Slicer,
): Promise<void> {
  let portion = "";
  let separator = "";
  for (const [id, text] of tokens.entries()) {
    if ((id & 1023) === 1023) {
      json.write(portion);
      portion = "";
      await slicer.pause();
    }
    if (!wanted(tokenTypes[id] ?? 0)) continue;
    portion += `${separator}${JSON.stringify(text)}:${id}`;
    separator = ",";
  }
  json.write(portion);
}

/** Text and id of the tokens of the wanted types; of tokens that read the same, the first. */
async function wantedTokens(
  { tokens, tokenTypes }: GgufVocabulary,
  wanted: (type: number) => boolean,
  slicer: Slicer,
): Promise<{ list: [string, number][]; ids: Map<string, number> }> {
  const list: [string, number][] = [];
  const ids = new Map<string, number>();
  for (const [id, text] of tokens.entries()) {
    if ((id & 255) === 0) await slicer.pause();
    if (!wanted(tokenTypes[id] ?? 0) || ids.has(text)) continue;
    list.push([text, id]);
    ids.set(text, id);
  }
  return { list, ids };
}

/** Type 0 is "undefined" in ggml and counts as normal there. */
function isNormal(type: number | undefined): boolean {
  return type === TokenType.Normal || type === 0;
}

function hasSpacePrefix(vocabulary: GgufVocabulary): boolean {
  return vocabulary.addSpacePrefix ?? true;
}
