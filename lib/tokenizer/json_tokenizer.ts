import { ModelFormatError, UnsupportedModelError } from "../errors";
import { bytesOfPiece } from "./byte_alphabet";
import { Encoder, type ParsedTokenizer } from "./encoder";
import { readHeader, type TokenizerHeader } from "./json_header";
import { Slicer } from "./slices";
import { TableTokenizer } from "./table_tokenizer";
import { TokenClass, TokenTable } from "./token_table";
import type { Tokenizer } from "./types";

/** What a tokenizer.json does not say itself; other files of the model's folder do. */
export interface TokenizerJsonOptions {
  /** `bos_token_id`; absent: none. */
  bosId?: number | undefined;
  /** `eos_token_id`, one or more. */
  eosIds?: readonly number[];
  /** Whether `bosId` goes in front of texts; absent: as the file's post-processor says. */
  addBos?: boolean;
  /**
   * Ids the model has; absent: the file's. Those without a token read as empty texts. Added tokens that the model has no
   * embedding for are left out (Gemma 3's text models share a file with those that see images); an ordinary token is not.
   */
  vocabularySize?: number;
}

/** More ids than this are no vocabulary but a damaged file. */
const MOST_IDS = 1 << 24;
const SPACE_MARK = /\u2581/g;
const BYTE_PIECE = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * The tokenizer of a tokenizer.json (UTF-8 text of the whole file): BPE, byte-level or with byte fallback. Parsing
 * happens on a thread. Throws `ModelFormatError` for damaged files and `UnsupportedModelError` for other kinds.
 */
export async function tokenizerFromJson(
  json: string | Uint8Array,
  options: TokenizerJsonOptions = {},
): Promise<Tokenizer> {
  const encoder = new Encoder();
  try {
    const parsed = await encoder.parse([typeof json === "string" ? new TextEncoder().encode(json) : json]);
    const header = withoutAddedBeyond(readHeader(parsed.header), options.vocabularySize);
    const table = await fillTable(parsed, header, options);
    const control = header.addedTokens.filter((token) => token.special && token.content !== header.unknownToken);
    await encoder.build(
      header.bare,
      control.map((token) => token.content),
      header.safe,
    );
    const { bosId, eosIds = [], addBos } = options;
    let prefixIds = header.prefixIds;
    if (addBos !== undefined && bosId !== undefined) {
      prefixIds = [...(addBos ? [bosId] : []), ...prefixIds.filter((id) => id !== bosId)];
    }
    for (const id of [...prefixIds, ...header.suffixIds, ...eosIds]) {
      if (!(Number.isInteger(id) && id >= 0 && id < table.size)) {
        throw new ModelFormatError(`Special token id ${id} is outside of the vocabulary of ${table.size} tokens`);
      }
    }
    return new TableTokenizer({
      table,
      encoder,
      addedTokens: header.addedTokens,
      bosId,
      eosIds: [...eosIds],
      prefixIds,
      suffixIds: header.suffixIds,
      stripLeadingSpace: header.stripLeadingSpace,
      spaceAtStart: header.spaceAtStart,
      floor: header.floor,
    });
  } catch (error) {
    encoder.close();
    // The stack's end.
    if (error instanceof RangeError) {
      throw new ModelFormatError("tokenizer.json is damaged: it is nested too deeply", { cause: error });
    }
    throw error;
  }
}

function withoutAddedBeyond(header: TokenizerHeader, size = Infinity): TokenizerHeader {
  return { ...header, addedTokens: header.addedTokens.filter(({ id }) => id < size) };
}

async function fillTable(
  { joined, lengths, ids }: ParsedTokenizer,
  header: TokenizerHeader,
  options: TokenizerJsonOptions,
): Promise<TokenTable> {
  if (ids.length === 0) throw new UnsupportedModelError("tokenizer.json has no vocabulary of the kind that BPE uses");
  const { vocabularySize } = options;
  let size = vocabularySize ?? 0;
  const count = (id: number): void => {
    if (!(Number.isInteger(id) && id >= 0 && id < MOST_IDS)) {
      throw new ModelFormatError(`tokenizer.json has the impossible token id ${id}`);
    }
    size = Math.max(size, id + 1);
  };
  if (size > 0) count(size - 1);
  ids.forEach(count);
  if (vocabularySize !== undefined && size > vocabularySize) {
    throw new ModelFormatError(
      `tokenizer.json has a token with the id ${size - 1}, but the model has embeddings for ${vocabularySize} tokens only. ` +
        `The tokenizer is another model's.`,
    );
  }
  for (const { id } of header.addedTokens) count(id);
  const slicer = new Slicer();
  const table = new TokenTable(size);
  let start = 0;
  for (const [i, id] of ids.entries()) {
    if ((i & 255) === 0) await slicer.pause();
    const end = start + (lengths[i] ?? 0);
    table.set(id, contentOf(joined.slice(start, end), header));
    start = end;
  }
  for (const { id, content, special } of header.addedTokens) {
    table.set(id, content, special ? TokenClass.Control : TokenClass.Always);
  }
  return table;
}

function contentOf(piece: string, { decoding }: TokenizerHeader): string | Uint8Array {
  if (decoding === "byte-level") return bytesOfPiece(piece) ?? piece;
  const digits = BYTE_PIECE.exec(piece)?.[1];
  if (digits !== undefined) return Uint8Array.of(Number.parseInt(digits, 16));
  return piece.replace(SPACE_MARK, " ");
}
