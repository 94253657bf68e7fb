import { join } from "node:path";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { isRecord, optionalJson } from "./safetensors";

/** A token that a folder adds to those of its tokenizer.model. */
export interface HfAddedToken {
  id: number;
  content: string;
  /** A control token, which texts do not become unless that is asked for. */
  special: boolean;
}

/**
 * The tokens that a folder with a tokenizer.model adds: `added_tokens_decoder` of its tokenizer_config.json, or, before
 * transformers 4.34, added_tokens.json with special_tokens_map.json.
 * @throws ModelFormatError for what is no such list, UnsupportedModelError for tokens that strip their surroundings
 */
export async function readAddedTokens(
  folder: string,
  config: Readonly<Record<string, unknown>>,
): Promise<HfAddedToken[]> {
  const { added_tokens_decoder: decoder } = config;
  if (decoder !== undefined) {
    const path = join(folder, "tokenizer_config.json");
    if (!isRecord(decoder)) throw new ModelFormatError(`"${path}": "added_tokens_decoder" is no object.`);
    return Object.entries(decoder).map(([id, token]) => readEntry(path, id, token));
  }
  const path = join(folder, "added_tokens.json");
  const specials = new Set(specialTexts(await optionalJson(join(folder, "special_tokens_map.json"))));
  return Object.entries(await optionalJson(path)).map(([content, id]) => {
    return { id: checkId(path, id, content), content, special: specials.has(content) };
  });
}

function readEntry(path: string, id: string, token: unknown): HfAddedToken {
  if (!isRecord(token) || typeof token.content !== "string") {
    throw new ModelFormatError(`"${path}": token ${id} of "added_tokens_decoder" has no content.`);
  }
  const { content } = token;
  if (token.lstrip === true || token.rstrip === true || token.single_word === true) {
    throw new UnsupportedModelError(`"${path}": added token ${JSON.stringify(content)} strips its surroundings.`);
  }
  return { id: checkId(path, Number(id), content), content, special: token.special === true };
}

function checkId(path: string, id: unknown, content: string): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0) return id;
  throw new ModelFormatError(`"${path}": token ${JSON.stringify(content)} has the id ${JSON.stringify(id)}.`);
}

/** Texts of special_tokens_map.json: strings, objects with a content, and lists of either. */
function specialTexts(map: Readonly<Record<string, unknown>>): string[] {
  const values = Object.values(map).flatMap((value): unknown[] => (Array.isArray(value) ? value : [value]));
  return values.flatMap((value) => {
    const text = isRecord(value) ? value.content : value;
    return typeof text === "string" ? [text] : [];
  });
}
