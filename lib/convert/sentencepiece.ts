import { ModelFormatError, UnsupportedModelError } from "../errors";
import { TokenType, type GgufValue, type GgufVocabulary } from "../files/gguf";
import { isRecord } from "../files/safetensors";
import { mergesFromScores, type Merge } from "../tokenizer/sentencepiece_merges";
import { Slicer } from "../tokenizer/slices";

/** A SentencePiece vocabulary of a tokenizer.json: BPE with byte fallback, whose merges stand in place of scores. */

const BYTE_PIECE = /^<0x[0-9A-F]{2}>$/;
const MARK = "\u2581";
const SPACES = /^\u2581+$/;

/** The `tokenizer.ggml.*` entries of a SentencePiece vocabulary, without special ids. */
export function sentencePieceMetadata(vocabulary: GgufVocabulary): [string, GgufValue][] {
  const { tokens, scores, tokenTypes, merges, unknownId, addBos, addEos, addSpacePrefix } = vocabulary;
  const entries: [string, GgufValue][] = [
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.pre", { type: "string", value: "default" }],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: tokens }],
    ["tokenizer.ggml.scores", { type: "array", elementType: "float32", value: scores ?? new Float32Array(0) }],
    ["tokenizer.ggml.token_type", { type: "array", elementType: "int32", value: tokenTypes }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: addBos }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: addSpacePrefix ?? true }],
  ];
  if (addEos !== undefined) entries.push(["tokenizer.ggml.add_eos_token", { type: "bool", value: addEos }]);
  // Other readers take the scores alone.
  if (merges) entries.push(["tokenizer.ggml.merges", { type: "array", elementType: "string", value: merges }]);
  if (unknownId !== undefined) entries.push(["tokenizer.ggml.unknown_token_id", { type: "uint32", value: unknownId }]);
  return entries;
}

/** Whether a tokenizer.json's model is of this kind. */
export function isSentencePiece(model: Record<string, unknown>): boolean {
  return model.type === "BPE" && model.byte_fallback === true;
}

/** What the caller has read of the tokenizer.json. */
export interface SentencePieceJson {
  path: string;
  json: Record<string, unknown>;
  model: Record<string, unknown>;
  tokens: readonly string[];
  /** `Normal`, `Control`, `UserDefined` or `Unused`; bytes and the unknown token are found here. */
  types: Int32Array;
  merges: readonly Merge[];
  addBos: boolean;
}

/**
 * The vocabulary with scores that imply the file's merges.
 * @throws UnsupportedModelError where the file does what GGUF cannot say, or its merges come from no scores
 */
export async function sentencePieceFromJson(source: SentencePieceJson): Promise<GgufVocabulary> {
  const { path, json, model, tokens, merges, addBos } = source;
  const types = Int32Array.from(source.types);
  const unknown = typeof model.unk_token === "string" ? tokens.indexOf(model.unk_token) : -1;
  tokens.forEach((token, id) => {
    if (types[id] === TokenType.Normal && BYTE_PIECE.test(token)) types[id] = TokenType.Byte;
    // Gemma's runs of spaces: added tokens match their mark in a text, but spaces become them by merging.
    if (types[id] === TokenType.UserDefined && SPACES.test(token)) types[id] = TokenType.Normal;
  });
  if (unknown >= 0) types[unknown] = TokenType.Unknown;
  const ranks = new Map<string, number>();
  for (const [rank, [left, right]] of merges.entries()) {
    if (!ranks.has(left + right)) ranks.set(left + right, rank);
  }
  // Pieces that nothing merges into are worse than all others.
  const scores = Float32Array.from(tokens, (token, id) =>
    types[id] === TokenType.Normal ? -(ranks.get(token) ?? merges.length) : 0,
  );
  const own = await checkMerges(path, tokens, types, scores, merges);
  return {
    ...(own ? { merges: own.map((merge) => merge.join(" ")) } : {}),
    model: "llama",
    tokens,
    tokenTypes: types,
    scores,
    eosIds: [],
    addBos,
    addSpacePrefix: readSpacePrefix(path, json),
    ...(unknown >= 0 ? { unknownId: unknown } : {}),
  };
}

/**
 * Readers make the merges from the scores: they must make these. Ways to cut one token have one score, and their order is
 * the reader's; where the file has another, its merges are returned, to be written besides.
 */
async function checkMerges(
  path: string,
  tokens: readonly string[],
  types: Int32Array,
  scores: Float32Array,
  merges: readonly Merge[],
): Promise<readonly Merge[] | undefined> {
  if (merges.length >= 2 ** 24)
    throw new ModelFormatError(`"${path}" has ${merges.length} merges, more than any model.`);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const pieces = tokens.flatMap((text, id) =>
    types[id] === TokenType.Normal ? [{ text, score: scores[id] ?? 0 }] : [],
  );
  const normal = (text: string): number | undefined => {
    const id = ids.get(text);
    return id !== undefined && types[id] === TokenType.Normal ? id : undefined;
  };
  const implied = await mergesFromScores(pieces, normal, new Slicer());
  // Texts are cut at added tokens first, so that nothing is left to merge with one or into one.
  const possible = merges.filter(([left, right]) =>
    [left, right, left + right].every((text) => normal(text) !== undefined),
  );
  const same = (merge: Merge, i: number): boolean => merge[0] === possible[i]?.[0] && merge[1] === possible[i][1];
  if (implied.length === possible.length && implied.every(same)) return undefined;
  const known = new Set(possible.map((merge) => merge.join(" ")));
  const missing = implied.find((merge) => !known.has(merge.join(" ")));
  if (missing === undefined && known.size === implied.length) return possible;
  throw new UnsupportedModelError(
    `"${path}": its merges do not follow from scores of tokens (for example ${JSON.stringify(missing ?? possible.at(-1))}), ` +
      `so a GGUF file would tokenise differently. Put the model's "tokenizer.model" into the folder in place of ` +
      `tokenizer.json.`,
  );
}

/** Whether a space goes in front of texts; refuses all other changes of texts. */
function readSpacePrefix(path: string, { normalizer, pre_tokenizer: split }: Record<string, unknown>): boolean {
  const steps = listSteps(normalizer, "normalizers");
  const isReplace = (step: unknown): boolean =>
    isRecord(step) &&
    step.type === "Replace" &&
    step.content === MARK &&
    isRecord(step.pattern) &&
    step.pattern.String === " ";
  const isPrepend = (step: unknown): boolean => isRecord(step) && step.type === "Prepend" && step.prepend === MARK;
  const splitSteps = listSteps(split, "pretokenizers");
  if (splitSteps.length === 0 && steps.length === 1 && isReplace(steps[0])) return false;
  if (splitSteps.length === 0 && steps.length === 2 && isPrepend(steps[0]) && isReplace(steps[1])) return true;
  const [meta] = splitSteps;
  if (steps.length === 0 && splitSteps.length === 1 && isRecord(meta) && meta.type === "Metaspace") {
    if (meta.replacement === MARK && meta.split === false) return meta.prepend_scheme !== "never";
  }
  // Gemma splits at single spaces after having replaced them all: nothing is left to split.
  if (steps.length === 1 && isReplace(steps[0]) && splitSteps.length === 1 && isRecord(meta) && meta.type === "Split") {
    if (isRecord(meta.pattern) && meta.pattern.String === " ") return false;
  }
  throw new UnsupportedModelError(
    `"${path}" changes or splits texts in a way that a GGUF file of a SentencePiece vocabulary cannot say.`,
  );
}

function listSteps(value: unknown, key: string): unknown[] {
  if (value === null || value === undefined) return [];
  const nested: unknown = isRecord(value) && value.type === "Sequence" ? value[key] : undefined;
  return Array.isArray(nested) ? nested : [value];
}
