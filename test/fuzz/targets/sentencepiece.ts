import * as fc from "fast-check";
import { readSentencePieceModel, tokenizerFromGguf } from "../../../lib/tokenizer";
import { sentencePieceModel } from "../../helpers/sentencepiece";
import { sentencePieceVocabulary } from "../../tokenizer/vocabularies";
import { bytesOf, damaged, edgeNumber, refusable, type Bytes, type Target } from "../target";

interface Input {
  bytes: Bytes;
  bosId: number | undefined;
  vocabularySize: number;
  text: string;
}

/** SentencePiece's tokenizer.model. */
export const sentencepieceTarget: Target<Input> = {
  name: "sentencepiece",
  covers: [
    "lib/tokenizer/sentencepiece_model.ts",
    "lib/tokenizer/gguf_tokenizer.ts",
    "lib/tokenizer/sentencepiece_merges.ts",
  ],
  weight: 1,
  inputs: fc.record({
    bytes: damaged(fc.constant(sentencePieceModel(sentencePieceVocabulary()))),
    bosId: fc.option(edgeNumber, { nil: undefined }),
    vocabularySize: fc.oneof(fc.nat(600), edgeNumber),
    text: fc.string({ unit: "binary", maxLength: 40 }),
  }),
  async check({ bytes, bosId, vocabularySize, text }) {
    const vocabulary = await refusable(() => readSentencePieceModel(bytesOf(bytes), { bosId, vocabularySize }));
    if (!vocabulary) return;
    const tokenizer = await refusable(() => tokenizerFromGguf(vocabulary));
    if (!tokenizer) return;
    try {
      const ids = await refusable(() => tokenizer.encode(text));
      if (ids) tokenizer.decode(ids);
    } finally {
      tokenizer.close();
    }
  },
};
