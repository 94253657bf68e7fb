import { ModelFormatError, UnsupportedModelError } from "../errors";
import type { HfAddedToken } from "../files/hf_added_tokens";
import { TokenType, type GgufVocabulary } from "../files/gguf/vocabulary";

/**
 * Reads SentencePiece's `tokenizer.model`: a protocol buffer (sentencepiece_model.proto) of pieces with scores and of
 * settings. Only BPE models with the identity normaliser are taken: what Llama, Mistral and Gemma ship.
 */

/** What a `tokenizer.model` does not say; the model's configuration does. */
export interface SentencePieceOptions {
  bosId?: number | undefined;
  eosIds?: readonly number[];
  padId?: number | undefined;
  /** Ids of the model; absent: those of the file, which may have fewer but not more. */
  vocabularySize?: number;
  /** Default: where there is a BOS. */
  addBos?: boolean | undefined;
  /** Default: no. */
  addEos?: boolean | undefined;
  /** Tokens added to the file's; those beyond `vocabularySize` are left out. */
  addedTokens?: readonly HfAddedToken[];
}

/** Piece types of the format are those of GGUF, in the same numbering. */
const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(TokenType));

const MODEL_BPE = 2;

/** More ids than this are no vocabulary but a damaged file. */
const MOST_IDS = 1 << 24;

interface Piece {
  text: string;
  score: number;
  type: number;
}

/**
 * The vocabulary of a `tokenizer.model`, in the form that GGUF files carry.
 * @throws ModelFormatError when the bytes are no such file, UnsupportedModelError for other algorithms and normalisers
 */
export function readSentencePieceModel(bytes: Uint8Array, options: SentencePieceOptions = {}): GgufVocabulary {
  const pieces: Piece[] = [];
  const trainer = new Map<number, number>();
  let addSpacePrefix = true;
  for (const field of fields(bytes)) {
    if (field.number === 1) pieces.push(readPiece(message(field)));
    else if (field.number === 2) {
      for (const { number, value } of fields(message(field))) if (typeof value === "number") trainer.set(number, value);
    } else if (field.number === 3) {
      addSpacePrefix = readNormalizer(message(field)) ?? addSpacePrefix;
    }
  }
  if (pieces.length === 0) throw damaged("it has no pieces");
  // TrainerSpec.model_type; its default, 1, is unigram.
  if ((trainer.get(3) ?? 1) !== MODEL_BPE) {
    throw new UnsupportedModelError("tokenizer.model is not a BPE model; only SentencePiece BPE is supported.");
  }
  if ((options.vocabularySize ?? 0) > MOST_IDS) {
    throw new ModelFormatError(
      `A vocabulary of ${options.vocabularySize} tokens is no vocabulary; at most ${MOST_IDS} are read.`,
    );
  }
  if (options.vocabularySize !== undefined && pieces.length > options.vocabularySize) {
    throw new ModelFormatError(
      `tokenizer.model has ${pieces.length} tokens, but the model has embeddings for ${options.vocabularySize} only. The ` +
        `tokenizer is another model's.`,
    );
  }
  for (let id = pieces.length; id < (options.vocabularySize ?? 0); id++) {
    pieces.push({ text: `[PAD${id}]`, score: 0, type: TokenType.Unused });
  }
  for (const token of options.addedTokens ?? []) addToken(pieces, token);
  // TrainerSpec: unk_id, bos_id, eos_id and pad_id with their defaults; negative where there is none.
  const idOf = (field: number, fallback: number): number | undefined => {
    const id = (trainer.get(field) ?? fallback) | 0;
    return id >= 0 && id < pieces.length ? id : undefined;
  };
  const bosId = options.bosId ?? idOf(41, 1);
  const eosId = options.eosIds?.[0] ?? idOf(42, 2);
  const unknownId = idOf(40, 0);
  return {
    model: "llama",
    tokens: pieces.map(({ text }) => text),
    tokenTypes: Int32Array.from(pieces, ({ type }) => type),
    scores: Float32Array.from(pieces, ({ score }) => score),
    ...(bosId === undefined ? {} : { bosId }),
    ...(eosId === undefined ? {} : { eosId }),
    ...(unknownId === undefined ? {} : { unknownId }),
    ...(options.padId === undefined ? {} : { padId: options.padId }),
    eosIds: options.eosIds ? [...options.eosIds] : eosId === undefined ? [] : [eosId],
    addBos: (options.addBos ?? true) && bosId !== undefined,
    ...(options.addEos === undefined ? {} : { addEos: options.addEos }),
    addSpacePrefix,
  };
}

function addToken(pieces: Piece[], { id, content, special }: HfAddedToken): void {
  const piece = pieces[id];
  if (piece === undefined) return;
  const type = special ? TokenType.Control : TokenType.UserDefined;
  if (piece.type === TokenType.Unused) pieces[id] = { text: content, score: 0, type };
  else if (piece.text !== content) {
    throw new ModelFormatError(
      `Token ${id} is ${JSON.stringify(piece.text)} in tokenizer.model, but ${JSON.stringify(content)} among the added ` +
        `tokens.`,
    );
  } else if (piece.type === TokenType.Normal) piece.type = type;
}

function readPiece(bytes: Uint8Array): Piece {
  const piece: Piece = { text: "", score: 0, type: TokenType.Normal };
  for (const { number, value } of fields(bytes)) {
    if (number === 1 && value instanceof Uint8Array) piece.text = text(value);
    else if (number === 2 && typeof value === "number") piece.score = value;
    else if (number === 3 && typeof value === "number") piece.type = value;
  }
  if (!KNOWN_TYPES.has(piece.type)) throw damaged(`piece ${JSON.stringify(piece.text)} has the type ${piece.type}`);
  return piece;
}

/** @returns `add_dummy_prefix`, where it is said */
function readNormalizer(bytes: Uint8Array): boolean | undefined {
  let prefix: boolean | undefined;
  let squeezes = true;
  let maps = false;
  for (const { number, value } of fields(bytes)) {
    if (number === 2) maps = value instanceof Uint8Array && value.length > 0;
    if (number === 3) prefix = value !== 0;
    if (number === 4) squeezes = value !== 0;
  }
  // precompiled_charsmap, and remove_extra_whitespaces: on by default, off in all models of this kind.
  if (maps || squeezes) {
    throw new UnsupportedModelError("tokenizer.model normalises text, which is not supported; use tokenizer.json.");
  }
  return prefix;
}

interface Field {
  number: number;
  /** Varints and floats are numbers, the rest bytes. */
  value: number | Uint8Array;
}

/** The fields of one protocol buffer message. */
function* fields(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw damaged("it ends within a number");
      // Negative int32 values take ten bytes; their upper half is dropped by `| 0` where they are used.
      if (shift < 49) value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value > Number.MAX_SAFE_INTEGER ? -1 : shift >= 63 ? -1 : value;
    }
    throw damaged("it has a number that does not end");
  };
  const take = (length: number): number => {
    if (length > bytes.length - at) throw damaged("it ends within a field");
    at += length;
    return at - length;
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        yield { number, value: view.getFloat64(take(8), true) };
        break;
      case 2: {
        const length = varint();
        const start = take(length);
        yield { number, value: bytes.subarray(start, start + length) };
        break;
      }
      case 5:
        yield { number, value: view.getFloat32(take(4), true) };
        break;
      default:
        throw damaged(`it has a field of the unknown wire type ${tag % 8}`);
    }
  }
}

function message({ number, value }: Field): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw damaged(`field ${number} is no message`);
}

function text(bytes: Uint8Array): string {
  try {
    // A byte-order mark is a piece like any other.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new ModelFormatError("tokenizer.model is damaged: a piece is no UTF-8.", { cause: error });
  }
}

function damaged(problem: string): ModelFormatError {
  return new ModelFormatError(`tokenizer.model is damaged or no SentencePiece model: ${problem}.`);
}
