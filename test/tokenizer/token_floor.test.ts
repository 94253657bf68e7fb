/** What can be said of a text's tokens before it is tokenized, and how added tokens are found. */
import { InvalidOptionError } from "../../lib/errors";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf, readTokenizerInfo } from "../../lib/files/gguf";
import { tokenizerFromGguf, tokenizerFromJson, type Tokenizer } from "../../lib/tokenizer";
import { SpecialSplitter, type AddedToken, type Segment } from "../../lib/tokenizer/special_splitter";
import { uniform } from "../helpers/random";
import { sentencePieceJson } from "../helpers/sentencepiece";
import { anyText, byteLevelVocabulary, randomText, sentencePieceVocabulary } from "./vocabularies";

jest.setTimeout(60_000);

const open: Tokenizer[] = [];

function kept(tokenizer: Tokenizer): Tokenizer {
  open.push(tokenizer);
  return tokenizer;
}

afterAll(() => {
  for (const tokenizer of open) tokenizer.close();
});

const random = uniform(5);
const MARKS = ["\u0301", "\u0315", "\u0327", "\u0345", "e", "\u1fbe\u0308\u0301", "\u212a\u0327", "\u1100\u1161\u11a8"];

function marked(): string {
  const length = Math.floor(random() * 40);
  return Array.from({ length }, () => MARKS[Math.floor(random() * MARKS.length)]).join("");
}

/** Texts of which a few tokens take much: repeated tokens, space marks, added tokens beside white space. */
function dense(): string {
  const parts = ["hello", " hello", "▁▁", "  ", "▁the", " the", "<think>", "<|eot_id|>", "\n\n", "world", "the king "];
  return Array.from({ length: 30 }, () => parts[Math.floor(random() * parts.length)]).join("");
}

const FILES: readonly (readonly [string, () => Promise<Tokenizer>])[] = [
  ["the bundled model", async () => tokenizerFromGguf(readTokenizerInfo(await readGguf(BUNDLED_MODEL_PATH)))],
  ["byte-level BPE", () => tokenizerFromGguf(byteLevelVocabulary())],
  ["byte-level BPE with NFC", () => tokenizerFromGguf(byteLevelVocabulary("qwen2"))],
  ["SentencePiece", () => tokenizerFromGguf(sentencePieceVocabulary())],
  ["a tokenizer.json", () => tokenizerFromJson(JSON.stringify(sentencePieceJson(sentencePieceVocabulary())))],
];

test.each(FILES)("no text of %s has fewer tokens than it is said to have at least", async (_, make) => {
  const tokenizer = kept(await make());
  let certain = 0;
  for (let round = 0; round < 400; round++) {
    const text = [anyText, randomText, marked, dense][round % 4]?.(random) ?? "";
    for (const parseSpecial of [false, true]) {
      const { length } = await tokenizer.encode(text, { addSpecial: false, parseSpecial });
      const fewest = tokenizer.fewestTokens(text, { parseSpecial });
      expect([text, fewest <= length]).toEqual([text, true]);
      certain += fewest;
    }
  }
  expect(certain).toBeGreaterThan(1000);
});

test("normal form C leaves a quarter of the bytes of any character at least", () => {
  const bytesOf = (text: string): number => Buffer.byteLength(text);
  /** Bytes of the longest character that is nothing but this one. */
  const longest = new Map<string, number>();
  /** Characters that are not their own NFD; the others leave all of their bytes, unless another one is nothing but them. */
  const taken: string[] = [];
  for (let point = 0; point < 0x110000; point++) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const text = String.fromCodePoint(point);
    const apart = text.normalize("NFD");
    if (apart === text) continue;
    taken.push(text);
    longest.set(apart, Math.max(longest.get(apart) ?? bytesOf(apart), bytesOf(text)));
  }
  let worst = 0;
  for (const text of [...taken, ...longest.keys()]) {
    // What a text may have had in place of it.
    const parts = Array.from(text.normalize("NFD"), (part) => longest.get(part) ?? bytesOf(part));
    worst = Math.max(worst, parts.reduce((sum, each) => sum + each, 0) / bytesOf(text.normalize("NFC")));
  }
  expect(worst).toBeGreaterThan(3);
  expect(worst).toBeLessThanOrEqual(4);
});

describe("nothing is said", () => {
  test("of a vocabulary that lacks a byte, whose characters may vanish", async () => {
    const whole = byteLevelVocabulary();
    const tokens = whole.tokens.map((token) => (token === "a" ? "aa" : token));
    const tokenizer = kept(await tokenizerFromGguf({ ...whole, tokens }));
    expect(tokenizer.fewestTokens("a".repeat(1000))).toBe(0);
  });

  test.each([
    ["takes white space away", { normalizer: { type: "Strip", strip_left: true, strip_right: true } }],
    ["takes text away", { normalizer: { type: "Replace", pattern: { Regex: "a+" }, content: "" } }],
    [
      "drops what it splits at",
      { pre_tokenizer: { type: "Split", pattern: { String: "a" }, behavior: "Removed", invert: false } },
    ],
    ["has one token for all that is unknown", { model: { byte_fallback: false } }],
  ])("of a file that %s", async (_, change) => {
    const json = sentencePieceJson(sentencePieceVocabulary()) as { model: object };
    const model = { ...json.model, ...("model" in change ? change.model : {}) };
    const tokenizer = kept(await tokenizerFromJson(JSON.stringify({ ...json, ...change, model })));
    expect(tokenizer.fewestTokens("a".repeat(1000))).toBe(0);
  });
});

test.each(["", "javascript"])(
  'more combining marks in a row than a normal form takes in reasonable time are refused: library "%s"',
  async (library) => {
    process.env.BITNET_TOKENIZERS = library;
    try {
      const tokenizer = kept(await tokenizerFromGguf(byteLevelVocabulary("qwen2")));
      await expect(tokenizer.encode(`a${"\u0315\u0300".repeat(50_000)}`)).rejects.toThrow(InvalidOptionError);
      await expect(tokenizer.encode(`a${"\u0315\u0300".repeat(500)}b`)).resolves.toHaveProperty("length");
    } finally {
      delete process.env.BITNET_TOKENIZERS;
    }
  },
);

/** The definition: leftmost, then longest, then the lowest id. */
function splitByDefinition(tokens: readonly AddedToken[], text: string, parseSpecial: boolean): Segment[] {
  const segments: Segment[] = [];
  let done = 0;
  for (let at = 0; at < text.length;) {
    const here = tokens
      .filter(({ content, special }) => text.startsWith(content, at) && (parseSpecial || !special))
      .sort((a, b) => b.content.length - a.content.length || a.id - b.id)[0];
    if (!here) {
      at++;
      continue;
    }
    if (at > done) segments.push({ text: text.slice(done, at), start: done });
    segments.push({ id: here.id });
    done = at += here.content.length;
  }
  if (done < text.length) segments.push({ text: text.slice(done), start: done });
  return segments;
}

test("added tokens are found as defined, whatever they share", () => {
  const pick = (most: number): number => Math.floor(random() * most);
  const word = (most: number): string => Array.from({ length: 1 + pick(most) }, () => "<|a"[pick(3)]).join("");
  for (let round = 0; round < 500; round++) {
    const tokens = Array.from({ length: pick(12) }, (_, id) => ({ id, content: word(5), special: pick(2) === 0 }));
    const text = word(60);
    for (const parseSpecial of [false, true]) {
      const found = new SpecialSplitter(tokens).split(text, parseSpecial);
      expect([tokens, text, found]).toEqual([tokens, text, splitByDefinition(tokens, text, parseSpecial)]);
    }
  }
});

test("a text of nothing but beginnings of control tokens is gone through in as many steps as any other", () => {
  let looked = 0;
  const tokens = Array.from({ length: 256 }, (_, id) => {
    const content = `<|reserved_special_token_${id}|>`;
    return {
      id,
      special: true,
      get content() {
        looked++;
        return content;
      },
    };
  });
  const splitter = new SpecialSplitter(tokens);
  looked = 0;
  expect(splitter.split("<|".repeat(1000), true)).toHaveLength(1);
  // One look at each of the tokens would be 256,000.
  expect(looked).toBeLessThan(60_000);
});
