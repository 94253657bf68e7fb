/** SentencePiece's tokenizer.model, and the same vocabulary in its three kinds of files. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { convertToGguf, Model } from "../../lib";
import { ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { readGguf, readTokenizerInfo } from "../../lib/files/gguf";
import { readSentencePieceModel, tokenizerFromGguf, tokenizerFromJson } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { bytesField, numberField, sentencePieceJson, sentencePieceModel } from "../helpers/sentencepiece";
import { writeTinyFolder } from "../helpers/tiny_folder";
import { temporaryFolder } from "../helpers/tiny_model";
import { randomText, sentencePieceVocabulary } from "./vocabularies";

// A busy machine is slow.
jest.setTimeout(60_000);

const folder = temporaryFolder();
const vocabulary = sentencePieceVocabulary();

test("pieces, scores, types and special ids", () => {
  expect(readSentencePieceModel(sentencePieceModel(vocabulary))).toEqual({ ...vocabulary, addSpacePrefix: true });
  const gemma = sentencePieceModel(vocabulary, { normalizer: [numberField(3, 0), numberField(4, 0)] });
  expect(readSentencePieceModel(gemma).addSpacePrefix).toBe(false);
  const more = readSentencePieceModel(sentencePieceModel(vocabulary), {
    vocabularySize: 400,
    bosId: 5,
    eosIds: [6, 7],
  });
  expect([more.tokens.length, more.tokenTypes[399], more.bosId, more.eosIds]).toEqual([400, 5, 5, [6, 7]]);
});

test.each([
  ["a unigram model", sentencePieceModel(vocabulary, { modelType: 1 }), UnsupportedModelError],
  [
    "a normaliser's table",
    sentencePieceModel(vocabulary, { normalizer: [bytesField(2, Buffer.from("x")), numberField(4, 0)] }),
    UnsupportedModelError,
  ],
  ["white space that is squeezed", sentencePieceModel(vocabulary, { normalizer: [] }), UnsupportedModelError],
  ["no pieces", Buffer.alloc(0), ModelFormatError],
  ["another kind of file", Buffer.from("GGUF\u0003\0\0\0"), ModelFormatError],
])("%s is refused", (_, bytes, type) => {
  expect(() => readSentencePieceModel(bytes)).toThrow(type);
});

test("a vocabulary of 2^40 ids is refused before it is filled", () => {
  const bytes = sentencePieceModel(sentencePieceVocabulary());
  expect(() => readSentencePieceModel(bytes, { vocabularySize: 2 ** 40 })).toThrow(ModelFormatError);
});

test("every truncation and many damages give an error or a vocabulary, never anything else", () => {
  const whole = sentencePieceModel({ ...vocabulary, tokens: vocabulary.tokens.slice(0, 40) });
  const random = uniform(2);
  const cases = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
  for (let i = 0; i < 2000; i++) {
    const damaged = Buffer.from(whole);
    damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256);
    cases.push(damaged);
  }
  for (const bytes of cases) {
    try {
      expect(readSentencePieceModel(bytes).tokens.length).toBeLessThanOrEqual(40);
    } catch (error) {
      expect(error instanceof ModelFormatError || error instanceof UnsupportedModelError).toBe(true);
    }
  }
});

test("tokenizer.model, tokenizer.json and GGUF files made of either give the same ids", async () => {
  const path = join(folder, "model");
  const special = { vocab_size: vocabulary.tokens.length, bos_token_id: 1, eos_token_id: 2 };
  writeTinyFolder(path, { family: "llama", vocabulary: vocabulary.tokens.length, config: special });
  const json = JSON.stringify(sentencePieceJson(vocabulary));
  writeFileSync(join(path, "tokenizer.json"), json);
  await convertToGguf(path, join(folder, "json.gguf"));
  rmSync(join(path, "tokenizer.json"));
  writeFileSync(join(path, "tokenizer.model"), sentencePieceModel(vocabulary));
  await convertToGguf(path, join(folder, "model.gguf"));
  const tokenizers = [
    await tokenizerFromJson(json, { bosId: 1, eosIds: [2] }),
    await tokenizerFromGguf(readSentencePieceModel(readFileSync(join(path, "tokenizer.model")))),
    await tokenizerFromGguf(readTokenizerInfo(await readGguf(join(folder, "json.gguf")))),
    await tokenizerFromGguf(readTokenizerInfo(await readGguf(join(folder, "model.gguf")))),
  ];
  try {
    const random = uniform(5);
    for (let i = 0; i < 1000; i++) {
      const text = randomText(random);
      const [first, ...others] = await Promise.all(tokenizers.map((tokenizer) => tokenizer.encode(text)));
      for (const ids of others) expect([text, [...ids]]).toEqual([text, [...first!]]);
    }
  } finally {
    for (const tokenizer of tokenizers) tokenizer.close();
  }
});

test("merges that no scores imply are refused", async () => {
  const path = join(folder, "strange");
  mkdirSync(path, { recursive: true });
  for (const file of ["config.json", "model.safetensors"]) copyFileSync(join(folder, "model", file), join(path, file));
  const json = sentencePieceJson(vocabulary);
  const model = json.model as { merges: string[] };
  model.merges = model.merges.slice(1);
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify(json));
  await expect(convertToGguf(path, join(folder, "strange.gguf"))).rejects.toThrow(
    /do not follow from scores.*tokenizer\.model/,
  );
});

const size = vocabulary.tokens.length;
test.each<[string, Record<string, object>]>([
  [
    "tokenizer_config.json",
    {
      "tokenizer_config.json": {
        add_bos_token: false,
        added_tokens_decoder: {
          "1": { content: "<s>", special: true },
          [size]: { content: "<|im_start|>", special: true },
          [size + 2]: { content: "<think>", special: false },
          [size + 4]: { content: "<beyond>", special: true },
        },
      },
    },
  ],
  [
    "added_tokens.json",
    {
      "tokenizer_config.json": { add_bos_token: false },
      "added_tokens.json": { "<|im_start|>": size, "<think>": size + 2, "<beyond>": size + 4 },
      "special_tokens_map.json": { bos_token: { content: "<s>" }, additional_special_tokens: ["<|im_start|>"] },
    },
  ],
])("tokens that %s adds to a tokenizer.model", async (name, jsons) => {
  const path = join(folder, name);
  const special = { vocab_size: size + 4, bos_token_id: 1, eos_token_id: 2 };
  writeTinyFolder(path, { family: "llama", vocabulary: size + 4, config: special });
  rmSync(join(path, "tokenizer.json"), { force: true });
  writeFileSync(join(path, "tokenizer.model"), sentencePieceModel(vocabulary));
  for (const [file, json] of Object.entries(jsons)) writeFileSync(join(path, file), JSON.stringify(json));
  await convertToGguf(path, `${path}.gguf`);
  for (const each of [path, `${path}.gguf`]) {
    await using model = await Model.load(each);
    const { tokenizer } = model;
    expect(tokenizer.addBos).toBe(false);
    const encode = async (text: string, parseSpecial = false): Promise<number[]> => [
      ...(await tokenizer.encode(text, { parseSpecial })),
    ];
    expect((await encode("<|im_start|>", true)).at(-1)).toBe(size);
    expect((await encode("<think>")).at(-1)).toBe(size + 2);
    expect((await encode("<|im_start|>")).every((id) => id < size)).toBe(true);
    expect((await encode("<beyond>", true)).every((id) => id < size)).toBe(true);
  }
});

test.each([
  ["another piece's id", { "7": { content: "<x>", special: true } }, /7 is.*<x>/],
  ["white space that it takes along", { [size]: { content: "<x>", special: true, lstrip: true } }, /<x>.*strips/],
  ["an id that is none", { "-1": { content: "<x>" } }, /<x>.*-1/],
  ["no content", { "5": {} }, /no content/],
])("an added token with %s is refused", async (name, decoder, message) => {
  const path = join(folder, name.replaceAll(" ", "-"));
  writeTinyFolder(path, { family: "llama", vocabulary: size + 4, config: { vocab_size: size + 4 } });
  rmSync(join(path, "tokenizer.json"), { force: true });
  writeFileSync(join(path, "tokenizer.model"), sentencePieceModel(vocabulary));
  writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify({ added_tokens_decoder: decoder }));
  await expect(Model.load(path)).rejects.toThrow(message);
});
