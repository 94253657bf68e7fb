import { isDeepStrictEqual } from "node:util";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { describe } from "../validate";
import { isSafeForNative } from "./native_safety";
import type { AddedToken } from "./special_splitter";
import type { FloorRules } from "./token_floor";

/** What a tokenizer.json says apart from its vocabulary and merges. */
export interface TokenizerHeader {
  addedTokens: AddedToken[];
  unknownToken: string | undefined;
  decoding: "byte-level" | "sentencepiece";
  prefixIds: number[];
  suffixIds: number[];
  stripLeadingSpace: boolean;
  /** The file wants a space in front of a text's start only; the caller puts it there. */
  spaceAtStart: boolean;
  /** The file's JSON for encoding plain text: no added tokens, nothing added around the text, no truncation. */
  bare: string;
  /** Whether the native library may be given `bare`. */
  safe: boolean;
  /** What bounds the tokens of a text from below; undefined where a step of the file may take text away. */
  floor: FloorRules | undefined;
}

type Json = Record<string, unknown>;

/** Reads a tokenizer.json without vocabulary; throws `ModelFormatError` or `UnsupportedModelError`. */
export function readHeader(json: string): TokenizerHeader {
  const root = asObject(JSON.parse(json), "tokenizer.json");
  const model = asObject(root.model, "model");
  if (model.type !== "BPE" && model.type !== undefined) {
    throw new UnsupportedModelError(
      `tokenizer.json has a model of type ${JSON.stringify(model.type)}; BPE is supported`,
    );
  }
  const addedTokens = asList(root.added_tokens ?? [], "added_tokens").map(readAddedToken);
  const around = readPostProcessor(root.post_processor);
  const decoding = readDecoder(root.decoder);
  const start = takeSpaceAtStart(root.pre_tokenizer);
  const bare = { ...root, pre_tokenizer: start.preTokenizer, added_tokens: [], post_processor: null };
  Object.assign(bare, { truncation: null, padding: null });
  return {
    addedTokens,
    unknownToken: typeof model.unk_token === "string" ? model.unk_token : undefined,
    ...decoding,
    ...around,
    spaceAtStart: start.spaceAtStart,
    bare: JSON.stringify(bare),
    safe: isSafeForNative(root.normalizer) && isSafeForNative(root.pre_tokenizer),
    floor: readFloor(root, model, decoding.decoding),
  };
}

function readAddedToken(value: unknown): AddedToken {
  const token = asObject(value, "added_tokens");
  const { id, content, special } = token;
  if (typeof id !== "number" || typeof content !== "string") {
    throw new ModelFormatError("tokenizer.json has an entry in added_tokens without id or content");
  }
  return {
    id,
    content,
    special: special === true,
    lstrip: token.lstrip === true,
    rstrip: token.rstrip === true,
    singleWord: token.single_word === true,
  };
}

/** The ids that the post-processor puts in front of a single text and behind it. */
function readPostProcessor(value: unknown): { prefixIds: number[]; suffixIds: number[] } {
  const none = { prefixIds: [], suffixIds: [] };
  if (value === null || value === undefined) return none;
  const processor = asObject(value, "post_processor");
  if (processor.type === "ByteLevel") return none;
  if (processor.type === "Sequence") {
    const all = asList(processor.processors, "post_processor").map(readPostProcessor);
    return { prefixIds: all.flatMap((one) => one.prefixIds), suffixIds: all.flatMap((one) => one.suffixIds) };
  }
  if (processor.type !== "TemplateProcessing") {
    throw new UnsupportedModelError(`tokenizer.json has an unknown post_processor: ${JSON.stringify(processor.type)}`);
  }
  const special = asObject(processor.special_tokens ?? {}, "post_processor.special_tokens");
  const prefixIds: number[] = [];
  const suffixIds: number[] = [];
  let ids = prefixIds;
  for (const item of asList(processor.single, "post_processor.single")) {
    const { SpecialToken: token } = asObject(item, "post_processor.single");
    if (token === undefined) {
      ids = suffixIds;
      continue;
    }
    const name = String(asObject(token, "post_processor.single").id);
    const entry = asObject(special[name], `post_processor.special_tokens["${name}"]`);
    for (const id of asList(entry.ids, "post_processor.special_tokens")) ids.push(Number(id));
  }
  return { prefixIds, suffixIds };
}

function readDecoder(value: unknown): Pick<TokenizerHeader, "decoding" | "stripLeadingSpace"> {
  const unknown = (): UnsupportedModelError =>
    new UnsupportedModelError(`tokenizer.json has an unknown decoder: ${describe(value)}`);
  if (value === null || value === undefined) throw unknown();
  const decoder = asObject(value, "decoder");
  const steps =
    decoder.type === "Sequence"
      ? asList(decoder.decoders, "decoder").map((one) => asObject(one, "decoder"))
      : [decoder];
  if (steps.some((step) => step.type === "ByteLevel")) {
    if (steps.some((step) => step.type !== "ByteLevel" && step.type !== "Fuse")) throw unknown();
    return { decoding: "byte-level", stripLeadingSpace: false };
  }
  let replaces = false;
  let stripLeadingSpace = false;
  for (const step of steps) {
    if (step.type === "Replace" && step.content === " " && patternOf(step) === "\u2581") replaces = true;
    else if (step.type === "Metaspace" && step.replacement === "\u2581") {
      replaces = true;
      stripLeadingSpace = step.prepend_scheme !== "never" && step.add_prefix_space !== false;
    } else if (step.type === "Strip" && step.content === " " && step.start === 1 && step.stop === 0)
      stripLeadingSpace = true;
    else if (step.type !== "ByteFallback" && step.type !== "Fuse") throw unknown();
  }
  if (!replaces) throw unknown();
  return { decoding: "sentencepiece", stripLeadingSpace };
}

function patternOf(step: Json): unknown {
  return asObject(step.pattern, "decoder.pattern").String;
}

/**
 * Metaspace with the scheme "first" puts a space in front of the first piece of a whole text. Pieces between added tokens
 * are encoded one by one here, each of which would look like the first.
 */
function takeSpaceAtStart(value: unknown): { preTokenizer: unknown; spaceAtStart: boolean } {
  if (typeof value !== "object" || value === null) return { preTokenizer: value ?? null, spaceAtStart: false };
  const step = value as Json;
  if (step.type !== "Metaspace" || step.prepend_scheme !== "first") return { preTokenizer: value, spaceAtStart: false };
  return { preTokenizer: { ...step, prepend_scheme: "never" }, spaceAtStart: true };
}

/** Steps that leave a text's bytes as they are, or add to them; with "NFC", "Replace" and "Split" it depends. */
const KEEP_BYTES = new Set("Sequence NFC Prepend Replace Split ByteLevel Metaspace Digits Punctuation".split(" "));

function readFloor(root: Json, model: Json, decoding: TokenizerHeader["decoding"]): FloorRules | undefined {
  const steps = [...stepsOf(root.normalizer), ...stepsOf(root.pre_tokenizer)];
  const marksSpaces = decoding === "sentencepiece";
  // Unknown characters would become one token, however many they are.
  if (marksSpaces && model.byte_fallback !== true) return undefined;
  const keeps = steps.every((step) => {
    const { type, pattern, content, behavior } = step as Json;
    if (typeof type !== "string" || !KEEP_BYTES.has(type) || behavior === "Removed") return false;
    // The space mark, which reads as one byte here and has three there.
    return type !== "Replace" || (marksSpaces && content === "\u2581" && isDeepStrictEqual(pattern, { String: " " }));
  });
  return keeps ? { composed: steps.some((step) => (step as Json).type === "NFC"), marksSpaces } : undefined;
}

/** A step of tokenizer.json and all within it. */
function stepsOf(value: unknown): unknown[] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object") return [{}];
  const { normalizers, pretokenizers } = value as Json;
  return [value, ...[normalizers, pretokenizers].flatMap((list) => (Array.isArray(list) ? list.flatMap(stepsOf) : []))];
}

function asObject(value: unknown, where: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new ModelFormatError(`tokenizer.json is damaged: ${where} is no object`);
}

function asList(value: unknown, where: string): unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  throw new ModelFormatError(`tokenizer.json is damaged: ${where} is no list`);
}
