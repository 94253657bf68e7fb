import { InvalidOptionError } from "../../lib/errors";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf, readTokenizerInfo, type GgufVocabulary } from "../../lib/files/gguf";
import { tokenizerFromGguf, type Tokenizer } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { anyText, byteLevelVocabulary, randomText, sentencePieceVocabulary } from "./vocabularies";

const open: Tokenizer[] = [];

async function loadWith(library: string, vocabulary: GgufVocabulary): Promise<Tokenizer> {
  process.env.BITNET_TOKENIZERS = library;
  try {
    const tokenizer = await tokenizerFromGguf(vocabulary);
    open.push(tokenizer);
    return tokenizer;
  } finally {
    delete process.env.BITNET_TOKENIZERS;
  }
}

afterAll(() => {
  for (const tokenizer of open) tokenizer.close();
});

describe("the native and the JavaScript library give the same ids", () => {
  test.each([
    ["the bundled model", async () => readTokenizerInfo(await readGguf(BUNDLED_MODEL_PATH))],
    ["byte-level BPE", () => Promise.resolve(byteLevelVocabulary())],
    ["byte-level BPE with NFC", () => Promise.resolve({ ...byteLevelVocabulary(), pre: "qwen2" })],
    ["SentencePiece with byte fallback", () => Promise.resolve(sentencePieceVocabulary())],
  ])("%s", async (_, read) => {
    const vocabulary = await read();
    const [native, javascript] = [await loadWith("native", vocabulary), await loadWith("javascript", vocabulary)];
    const random = uniform(11);
    for (let round = 0; round < 300; round++) {
      const text = round % 2 === 0 ? anyText(random) : randomText(random);
      expect([text, ...(await javascript.encode(text))]).toEqual([text, ...(await native.encode(text))]);
    }
  });
});

test("another name is refused", async () => {
  await expect(loadWith("rust", byteLevelVocabulary())).rejects.toThrow(InvalidOptionError);
});
