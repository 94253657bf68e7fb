import * as fc from "fast-check";
import { tokenizerFromJson } from "../../../lib/tokenizer";
import { sentencePieceJson } from "../../helpers/sentencepiece";
import { tinyVocabulary } from "../../helpers/tiny_model";
import { sentencePieceVocabulary } from "../../tokenizer/vocabularies";
import { damagedJson, edgeNumber, refusable, type Target } from "../target";

interface Input {
  json: unknown;
  options: { bosId: number | undefined; eosIds: number[]; vocabularySize: number };
  text: string;
}

function byteLevelJson(): unknown {
  const vocabulary = tinyVocabulary();
  const tokens = vocabulary["tokenizer.ggml.tokens"]?.value as string[];
  return {
    added_tokens: [{ id: 262, content: "<|bos|>", special: true }],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: "\\p{L}+|\\p{N}{1,3}|\\s+" }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: vocabulary["tokenizer.ggml.merges"]?.value,
    },
  };
}

/** Steps that a file may bring, with expressions and maps of its own. */
const expression = fc.oneof(
  fc.constantFrom("(a|a)+$", "(?:a*)*b", "\\s*\\s*x", "[", "(?<=a)b", "\\p{L}+", "a++", "(?i:x)"),
  fc.string({ maxLength: 8 }),
);
const step = fc.oneof(
  fc.record({
    type: fc.constantFrom("Split", "Replace"),
    pattern: fc.oneof(fc.record({ Regex: expression }), fc.record({ String: fc.string({ maxLength: 3 }) })),
    behavior: fc.constantFrom("Isolated", "Removed", "MergedWithNext"),
    invert: fc.boolean(),
    content: fc.string({ maxLength: 3 }),
  }),
  fc.record({
    type: fc.constant("Precompiled"),
    precompiled_charsmap: fc.base64String({ maxLength: 60 }),
  }),
  fc.record({
    type: fc.constantFrom(
      "NFC",
      "NFKD",
      "Lowercase",
      "Strip",
      "Digits",
      "Metaspace",
      "UnicodeScripts",
      "BertNormalizer",
    ),
  }),
);
const steps = fc.option(
  fc.oneof(
    step,
    fc.array(step, { maxLength: 3 }).map((each) => ({ type: "Sequence", normalizers: each, pretokenizers: each })),
  ),
  { freq: 3 },
);

/** tokenizer.json files: read here, and by the library that encodes. */
export const tokenizerJsonTarget: Target<Input> = {
  name: "tokenizer-json",
  covers: ["lib/tokenizer/"],
  weight: 2,
  inputs: fc.record({
    json: damagedJson(
      fc
        .tuple(fc.constantFrom(byteLevelJson(), sentencePieceJson(sentencePieceVocabulary())), steps, steps)
        .map(([json, normalizer, preTokenizer]) => ({
          ...(json as object),
          ...(normalizer && { normalizer }),
          ...(preTokenizer && { pre_tokenizer: preTokenizer }),
        })),
    ),
    options: fc.record({
      bosId: fc.option(edgeNumber, { nil: undefined }),
      eosIds: fc.array(edgeNumber, { maxLength: 2 }),
      vocabularySize: fc.oneof(fc.nat(400), edgeNumber),
    }),
    text: fc.string({ unit: "binary", maxLength: 40 }),
  }),
  async check({ json, options, text }) {
    const { bosId, ...rest } = options;
    const tokenizer = await refusable(() =>
      tokenizerFromJson(JSON.stringify(json), bosId === undefined ? rest : { ...rest, bosId }),
    );
    if (!tokenizer) return;
    try {
      const ids = await refusable(() => tokenizer.encode(text));
      if (!ids) return;
      for (const id of ids) {
        if (!(id >= 0 && id < tokenizer.vocabularySize)) throw new Error(`Token ${id} is not in the vocabulary`);
      }
      tokenizer.decode(ids);
    } finally {
      tokenizer.close();
    }
  },
};
