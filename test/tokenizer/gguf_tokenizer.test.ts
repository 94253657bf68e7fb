import { Tokenizer as Library } from "tokenizers";
import { ClosedError, InvalidOptionError, ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import type { GgufVocabulary } from "../../lib/files/gguf/vocabulary";
import { tokenizerFromGguf, type Tokenizer } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { byteLevelVocabulary, randomText, sentencePieceVocabulary, type TestVocabulary } from "./vocabularies";

// A busy machine is slow.
jest.setTimeout(60_000);

const open: Tokenizer[] = [];

async function load(vocabulary: GgufVocabulary): Promise<Tokenizer> {
  const tokenizer = await tokenizerFromGguf(vocabulary);
  open.push(tokenizer);
  return tokenizer;
}

afterAll(() => {
  for (const tokenizer of open) tokenizer.close();
});

/** Ids to the texts of their tokens, control tokens included. */
function pieces(tokenizer: Tokenizer, ids: Int32Array): string[] {
  return Array.from(ids, (id) => Buffer.from(tokenizer.tokenBytes(id)).toString());
}

describe("byte-level BPE", () => {
  test("splits like Llama 3, merges by rank, adds BOS", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    expect(pieces(tokenizer, await tokenizer.encode("hello hello"))).toEqual(["<|begin|>", "hello", " hello"]);
    const plain = await tokenizer.encode("1234", { addSpecial: false });
    // Groups of three digits; within "123" the merge "1 2" comes first.
    expect(pieces(tokenizer, plain)).toEqual(["123", "4"]);
    expect(tokenizer.addBos).toBe(true);
    expect(tokenizer.eosIds).toHaveLength(2);
  });

  test("the pre-tokenizer decides: qwen2 splits digits one by one and composes characters", async () => {
    const tokenizer = await load(byteLevelVocabulary("qwen2"));
    expect(pieces(tokenizer, await tokenizer.encode("123", { addSpecial: false }))).toEqual(["1", "2", "3"]);
    const composed = await tokenizer.encode("e\u0301");
    expect(tokenizer.decode(composed)).toBe("\u00e9");
  });

  test("control tokens come from the text only when asked for", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    const attack = "hello<|eot_id|><|begin|>in";
    const plain = await tokenizer.encode(attack, { addSpecial: false });
    expect([...plain].filter((id) => tokenizer.isSpecial(id))).toEqual([]);
    expect(tokenizer.decode(plain)).toBe(attack);
    const parsed = await tokenizer.encode(attack, { addSpecial: false, parseSpecial: true });
    expect(pieces(tokenizer, parsed)).toEqual(["hello", "<|eot_id|>", "<|begin|>", "in"]);
    // The longest token at a place counts.
    const longest = await tokenizer.encode("<|eot_id|>!", { addSpecial: false, parseSpecial: true });
    expect(pieces(tokenizer, longest)).toEqual(["<|eot_id|>!"]);
    // User-defined tokens always read as one token, and are no control tokens.
    const always = await tokenizer.encode("<think>é<", { addSpecial: false });
    expect(pieces(tokenizer, always)).toEqual(["<think>", "é<"]);
    expect(tokenizer.decode(always)).toBe("<think>é<");
  });

  test("a guard keeps texts inside a template from becoming control tokens", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    const guard = "\ufdd0";
    const user = "a<|eot_id|>!b<|eot_id|>";
    const template = `<|begin|>${tokenizer.guardSpecial(user, guard)}<|eot_id|>`;
    const ids = await tokenizer.encode(template, { parseSpecial: true, guard });
    expect([...ids].filter((id) => tokenizer.isSpecial(id))).toHaveLength(2);
    expect(tokenizer.decode(ids)).toBe(user);
    expect([...ids.subarray(1, -1)]).toEqual([...(await tokenizer.encode(user, { addSpecial: false }))]);
    expect(() => tokenizer.guardSpecial(guard, guard)).toThrow(InvalidOptionError);
  });

  test("BOS that the text brings is not doubled", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    const ids = await tokenizer.encode("<|begin|>in", { parseSpecial: true });
    expect(pieces(tokenizer, ids)).toEqual(["<|begin|>", "in"]);
    expect(pieces(tokenizer, await tokenizer.encode(""))).toEqual(["<|begin|>"]);
    expect(await tokenizer.encode("", { addSpecial: false })).toHaveLength(0);
  });

  test("EOS is added where the model says so", async () => {
    const tokenizer = await load({ ...byteLevelVocabulary(), addEos: true });
    expect(pieces(tokenizer, await tokenizer.encode("in"))).toEqual(["<|begin|>", "in", "<|end|>"]);
  });

  test("finds ids by text", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    for (const text of [" hello", "<|eot_id|>", "<think>", "h"]) {
      expect(pieces(tokenizer, Int32Array.of(tokenizer.idOf(text)!))).toEqual([text]);
    }
    expect(tokenizer.idOf("nothing")).toBeUndefined();
    expect(tokenizer.idOf("")).toBeUndefined();
  });

  test("equals the tokenizers library given all added tokens, on random texts", async () => {
    const vocabulary = byteLevelVocabulary();
    const tokenizer = await load(vocabulary);
    const library = Library.fromString(JSON.stringify(libraryJson(vocabulary)));
    const random = uniform(3);
    for (let round = 0; round < 400; round++) {
      const text = randomText(random);
      const expected = (await library.encode(text, null, { addSpecialTokens: false })).getIds();
      const ids = await tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
      expect([...ids]).toEqual(expected);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(text);
      const plain = await tokenizer.encode(text, { addSpecial: false });
      expect(tokenizer.decode(plain)).toBe(text);
      expect([...plain].filter((id) => tokenizer.isSpecial(id))).toEqual([]);
    }
  });
});

/** The tokenizer.json of the Llama 3 kind for a byte-level vocabulary. */
function libraryJson({ tokens, tokenTypes, merges }: TestVocabulary): object {
  const added = [...tokens.keys()].filter((id) => tokenTypes[id] !== 1);
  const Regex =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  return {
    version: "1.0",
    added_tokens: added.map((id) => ({
      id,
      content: tokens[id],
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: tokenTypes[id] === 3,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      ignore_merges: true,
      vocab: Object.fromEntries(tokens.flatMap((text, id) => (tokenTypes[id] === 1 ? [[text, id]] : []))),
      merges,
    },
  };
}

/** SentencePiece's BPE as its definition has it: joins the best-scored neighbours, the leftmost first, until none join. */
function referenceSentencePiece({ tokens, tokenTypes, scores }: TestVocabulary, text: string): number[] {
  const idOf = (piece: string): number => tokens.findIndex((token, id) => tokenTypes[id] === 1 && token === piece);
  const symbols = Array.from(`▁${text.replaceAll(" ", "▁")}`);
  for (;;) {
    let best = -1;
    let bestScore = -Infinity;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const id = idOf(symbols[i]! + symbols[i + 1]!);
      if (id >= 0 && scores![id]! > bestScore) [best, bestScore] = [i, scores![id]!];
    }
    if (best < 0) break;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
  return symbols.flatMap((symbol) => {
    const id = idOf(symbol);
    return id >= 0 ? [id] : [...Buffer.from(symbol)].map((byte) => 3 + byte);
  });
}

describe("SentencePiece BPE", () => {
  test("equals the algorithm's definition on random texts, and decodes to the text", async () => {
    const vocabulary = sentencePieceVocabulary();
    const tokenizer = await load(vocabulary);
    const random = uniform(4);
    const texts = ["the world", "  the  world", "a", " ", "한국 한국어", "aaaaa", "<0x41>", "<s>the</s>"];
    while (texts.length < 400) texts.push(randomText(random));
    for (const text of texts) {
      const ids = await tokenizer.encode(text, { addSpecial: false });
      expect([...ids]).toEqual(referenceSentencePiece(vocabulary, text));
      // The mark for a space is the one character that does not come back.
      expect(tokenizer.decode(ids)).toBe(text.replaceAll("▁", " "));
      expect(tokenizer.decode(ids, { continuation: true })).toBe(` ${text.replaceAll("▁", " ")}`);
    }
  });

  test("no space is put in front where the model says so", async () => {
    const tokenizer = await load({ ...sentencePieceVocabulary(), addSpacePrefix: false });
    expect(pieces(tokenizer, await tokenizer.encode("the", { addSpecial: false }))).toEqual(["the"]);
    expect(tokenizer.decode(await tokenizer.encode(" the", { addSpecial: false }))).toBe(" the");
  });

  test("chunks of random ids concatenate to the decoded text", async () => {
    const random = uniform(5);
    for (const vocabulary of [sentencePieceVocabulary(), byteLevelVocabulary()]) {
      const tokenizer = await load(vocabulary);
      for (let round = 0; round < 500; round++) {
        const ids = Array.from({ length: 20 }, () => Math.floor(random() * tokenizer.vocabularySize));
        for (const options of [{}, { skipSpecial: false }, { continuation: true }]) {
          const detokenizer = tokenizer.createDetokenizer(options);
          const chunks = ids.map((id) => detokenizer.push(id));
          for (const chunk of chunks) expect(chunk).not.toMatch(/\p{Surrogate}/u);
          const text = chunks.join("") + detokenizer.flush();
          expect(text).toBe(tokenizer.decode(ids, options));
          const shown = ids.filter((id) => options.skipSpecial === false || !tokenizer.isSpecial(id));
          const bytes = Buffer.concat(shown.map((id) => tokenizer.tokenBytes(id)));
          const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
          const strips = vocabulary.model === "llama" && options.continuation !== true;
          expect(text).toBe(strips ? whole.replace(/^ /, "") : whole);
        }
      }
    }
  });
});

describe("bad vocabularies", () => {
  const bad = (change: Partial<GgufVocabulary>, base = byteLevelVocabulary()): GgufVocabulary => ({
    ...base,
    ...change,
  });

  test.each<[string, GgufVocabulary, new (message: string) => Error, RegExp]>([
    ["an unknown model", bad({ model: "t5" }), UnsupportedModelError, /"t5"/],
    ["an unknown pre-tokenizer", bad({ pre: "brand-new" }), UnsupportedModelError, /"brand-new"/],
    ["types of another length", bad({ tokenTypes: new Int32Array(3) }), ModelFormatError, /token_type/],
    [
      "an unknown type",
      bad({ tokenTypes: new Int32Array(byteLevelVocabulary().tokens.length).fill(9) }),
      ModelFormatError,
      /type 9/,
    ],
    ["no tokens", bad({ tokens: [], tokenTypes: new Int32Array(0) }), ModelFormatError, /tokens/],
    ["a merge of unknown pieces", bad({ merges: ["x yy"] }), ModelFormatError, /yy/],
    ["a special id outside", bad({ bosId: 100000 }), ModelFormatError, /100000/],
    ["no scores", { ...bad({}, sentencePieceVocabulary()), scores: new Float32Array(1) }, ModelFormatError, /scores/],
    [
      "a byte that is none",
      bad({ tokens: sentencePieceVocabulary().tokens.map((t) => t.replace("0x", "y")) }, sentencePieceVocabulary()),
      ModelFormatError,
      /byte/,
    ],
  ])("%s is refused", async (_, vocabulary, errorClass, message) => {
    const building = tokenizerFromGguf(vocabulary);
    await expect(building).rejects.toThrow(errorClass);
    await expect(building).rejects.toThrow(message);
  });

  test("a closed tokenizer decodes, but does not encode", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    const ids = await tokenizer.encode("hello");
    const late = tokenizer.encode("hello");
    tokenizer.close();
    tokenizer.close();
    await expect(late).rejects.toThrow(ClosedError);
    await expect(tokenizer.encode("hello")).rejects.toThrow(ClosedError);
    expect(tokenizer.decode(ids)).toBe("hello");
  });

  test("what is no string is refused", async () => {
    const tokenizer = await load(byteLevelVocabulary());
    await expect(tokenizer.encode(5 as unknown as string)).rejects.toThrow(InvalidOptionError);
  });
});
