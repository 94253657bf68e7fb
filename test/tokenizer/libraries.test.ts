import { isDeepStrictEqual } from "node:util";
import { InvalidOptionError } from "../../lib/errors";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf, readTokenizerInfo, type GgufVocabulary } from "../../lib/files/gguf";
import { tokenizerFromGguf, type Tokenizer } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { alphabet, anyText, byteLevelVocabulary, randomText, sentencePieceVocabulary } from "./vocabularies";

// A busy machine is slow.
jest.setTimeout(60_000);

const open: Tokenizer[] = [];

/** A vocabulary's tokenizer with a library's encoder, or with our own where none is named. */
async function loadWith(library: string, vocabulary: GgufVocabulary): Promise<Tokenizer> {
  if (library !== "") process.env.BITNET_TOKENIZERS = library;
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

describe("the native library, the JavaScript one and our own encoder give the same ids", () => {
  test.each([
    ["the bundled model", async () => readTokenizerInfo(await readGguf(BUNDLED_MODEL_PATH))],
    ["byte-level BPE", () => Promise.resolve(byteLevelVocabulary())],
    ["byte-level BPE with NFC", () => Promise.resolve({ ...byteLevelVocabulary(), pre: "qwen2" })],
    ["SentencePiece with byte fallback", () => Promise.resolve(sentencePieceVocabulary())],
  ])("%s", async (_, read) => {
    const vocabulary = await read();
    const [native, javascript] = [await loadWith("native", vocabulary), await loadWith("javascript", vocabulary)];
    const own = await loadWith("", vocabulary);
    const random = uniform(11);
    for (let round = 0; round < 300; round++) {
      const text = round % 2 === 0 ? anyText(random) : randomText(random);
      const expected = [text, ...(await native.encode(text))];
      expect([text, ...(await javascript.encode(text))]).toEqual(expected);
      expect([text, ...(await own.encode(text))]).toEqual(expected);
    }
  });
});

/**
 * All bytes, and merges of a few ASCII characters with the first byte of any other character and with its last: they show
 * whether a character stands in one word with what is before or behind it.
 */
function telltaleVocabulary(pre: string): GgufVocabulary {
  const bytes = alphabet();
  const pairs: [string, string][] = [];
  for (const ascii of "a1! '\n") {
    const own = bytes[ascii.charCodeAt(0)]!;
    for (let byte = 0x80; byte < 0xc0; byte++) pairs.push([bytes[byte]!, own]);
    for (let byte = 0xc2; byte < 0xf5; byte++) pairs.push([own, bytes[byte]!]);
  }
  const tokens = [...bytes, ...pairs.map((pair) => pair.join(""))];
  const merges = pairs.map((pair) => pair.join(" "));
  return {
    model: "gpt2",
    pre,
    tokens,
    tokenTypes: new Int32Array(tokens.length).fill(1),
    merges,
    eosIds: [],
    addBos: false,
  };
}

// The JavaScript library has this Node's Unicode, as we do; the native one brings its own, which may be older or newer.
test.each(["llama-bpe", "gpt-2"])("every character is split alike: %s", async (pre) => {
  const vocabulary = telltaleVocabulary(pre);
  const [own, javascript] = [await loadWith("", vocabulary), await loadWith("javascript", vocabulary)];
  for (let first = 0; first < 0x20000; first += 256) {
    // Han and Hangul are letters by the thousand: their first and last will do.
    if ((first >= 0x3500 && first < 0x9f00) || (first >= 0xad00 && first < 0xf900) || first >= 0x17100) continue;
    const characters = Array.from({ length: 256 }, (_, i) => String.fromCodePoint(first + i));
    // What Unicode has given to nobody yet stands between characters often enough.
    if (!characters.some((character) => /\P{Unassigned}/u.test(character))) continue;
    let text = "";
    for (const character of characters) {
      text += `a${character}a1${character}1!${character}! ${character} '${character}\n${character}`;
    }
    const [ids, expected] = [await own.encode(text), await javascript.encode(text)];
    if (!isDeepStrictEqual(ids, expected)) throw new Error(`differs from U+${first.toString(16)} on`);
  }
});

test("long words, long runs of white space and long texts", async () => {
  const vocabulary = readTokenizerInfo(await readGguf(BUNDLED_MODEL_PATH));
  const [own, native] = [await loadWith("", vocabulary), await loadWith("native", vocabulary)];
  const random = uniform(5);
  const letters = Array.from({ length: 20_000 }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join("");
  const sentence = "The quick brown fox, 12345 times, didn't jump.\n";
  for (const text of [
    letters,
    "a".repeat(5000),
    `${" ".repeat(5000)}x`,
    `${"\n ".repeat(3000)}y`,
    sentence.repeat(2000),
  ]) {
    expect(Array.from(await own.encode(text))).toEqual(Array.from(await native.encode(text)));
  }
});

test("the event loop runs while a long word is merged", async () => {
  const own = await loadWith("", readTokenizerInfo(await readGguf(BUNDLED_MODEL_PATH)));
  let turns = 0;
  let done = false;
  const turn = (): void => {
    turns++;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  await own.encode("ab".repeat(200_000));
  done = true;
  expect(turns).toBeGreaterThan(3);
});

test("another name is refused", async () => {
  await expect(loadWith("rust", byteLevelVocabulary())).rejects.toThrow(InvalidOptionError);
});
