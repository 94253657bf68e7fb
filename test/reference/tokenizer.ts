/**
 * Byte-level BPE (Sennrich et al. 2016, on the bytes of UTF-8 as in GPT-2) with Llama 3's pre-tokeniser, written from
 * the definition: enough for the bundled model's vocabulary.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { GgufFile } from "./gguf";

/**
 * Llama 3's split pattern. White space is Unicode's White_Space, which JavaScript's \s is not (U+0085, U+FEFF); the
 * contractions are case-insensitive, U+017F being the other lower-case form of S.
 */
const SPLIT = new RegExp(
  [
    "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])",
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
    "\\p{N}{1,3}",
    " ?[^\\p{White_Space}\\p{L}\\p{N}]+[\\r\\n]*",
    "\\p{White_Space}*[\\r\\n]+",
    "\\p{White_Space}+(?!\\P{White_Space})",
    "\\p{White_Space}+",
  ].join("|"),
  "gu",
);

/** GPT-2's printable character for each byte: itself where printable in Latin-1, else U+0100 upwards in byte order. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();

/** Encodes text to ids; adds no special tokens and gives none a meaning inside text. */
export class ReferenceTokenizer {
  private readonly ranks: Map<string, number>;

  /**
   * @param ids id of every token in its printable spelling
   * @param merges "left right" by falling priority
   * @param bos id put in front of a prompt
   */
  constructor(
    private readonly ids: ReadonlyMap<string, number>,
    merges: readonly string[],
    readonly bos: number,
  ) {
    this.ranks = new Map(merges.map((merge, rank) => [merge, rank]));
  }

  encode(text: string): number[] {
    return (text.match(SPLIT) ?? []).flatMap((word) => this.encodeWord(word));
  }

  private encodeWord(word: string): number[] {
    const parts = Array.from(Buffer.from(word, "utf8"), (byte) => BYTE_CHARACTERS[byte]!);
    for (;;) {
      let best = Infinity;
      for (let i = 0; i + 1 < parts.length; i++) {
        best = Math.min(best, this.ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity);
      }
      if (best === Infinity) break;
      for (let i = 0; i + 1 < parts.length; i++) {
        if (this.ranks.get(`${parts[i]} ${parts[i + 1]}`) === best) {
          parts.splice(i, 2, `${parts[i]}${parts[i + 1]}`);
        }
      }
    }
    return parts.map((part) => {
      const id = this.ids.get(part);
      if (id === undefined) throw new Error(`no token ${part}`);
      return id;
    });
  }
}

/** The tokenizer of a Hugging Face folder (tokenizer.json with a byte-level BPE model). */
export function tokenizerFromFolder(folder: string): ReferenceTokenizer {
  const { model } = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as {
    model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
  };
  const { bos_token_id: bos } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
    bos_token_id: number;
  };
  const merges = model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  return new ReferenceTokenizer(new Map(Object.entries(model.vocab)), merges, bos);
}

/** The tokenizer inside a GGUF file. */
export function tokenizerFromGguf({ metadata }: GgufFile): ReferenceTokenizer {
  const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
  const merges = metadata.get("tokenizer.ggml.merges") as string[];
  const bos = metadata.get("tokenizer.ggml.bos_token_id") as number;
  return new ReferenceTokenizer(new Map(tokens.map((token, id) => [token, id])), merges, bos);
}
