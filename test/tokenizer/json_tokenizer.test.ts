import { Tokenizer as Library } from "tokenizers";
import { InvalidOptionError, ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { tokenizerFromJson, type Tokenizer, type TokenizerJsonOptions } from "../../lib/tokenizer";
import { uniform } from "../helpers/random";
import { alphabet, randomText } from "./vocabularies";

const open: Tokenizer[] = [];

async function load(json: object, options?: TokenizerJsonOptions): Promise<Tokenizer> {
  const tokenizer = await tokenizerFromJson(JSON.stringify(json), options);
  open.push(tokenizer);
  return tokenizer;
}

afterAll(() => {
  for (const tokenizer of open) tokenizer.close();
});

function added(id: number, content: string, flags: object = {}): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...flags };
}

/** GPT-2's kind, with a BOS template and added tokens of every flag. */
function byteLevelJson(): Record<string, unknown> {
  const vocab = Object.fromEntries([...alphabet(), "he", "ll", "hell", "Ġhell"].map((piece, id) => [piece, id]));
  return {
    version: "1.0",
    truncation: { direction: "Right", max_length: 3, strategy: "LongestFirst", stride: 0 },
    padding: null,
    added_tokens: [
      added(260, "<bos>"),
      added(261, "<left>", { lstrip: true }),
      added(262, "<right>", { rstrip: true }),
      added(263, "word", { single_word: true, special: false }),
      added(264, "<think>", { special: false }),
    ],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<bos>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<bos>": { id: "<bos>", ids: [260], tokens: ["<bos>"] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab, merges: ["h e", "l l", "he ll", "Ġ hell"] },
  };
}

const EXPLODING = "(a|a)+$";
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
  "\\s+(?!\\S)|\\s+";

// Each of these made the native library end the process.
describe("files and texts that the native library does not survive", () => {
  const split = (Regex: string): object => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });

  test.each([
    ["an expression that steps back without end", { pre_tokenizer: split(EXPLODING) }],
    [
      "the same inside a sequence",
      { pre_tokenizer: { type: "Sequence", pretokenizers: [split(EXPLODING), byteLevelJson().pre_tokenizer] } },
    ],
    ["the same in a replacement", { normalizer: { type: "Replace", pattern: { Regex: EXPLODING }, content: "b" } }],
    [
      "a damaged character map",
      { normalizer: { type: "Precompiled", precompiled_charsmap: Buffer.alloc(9, 255).toString("base64") } },
    ],
  ])("%s", async (_what, change) => {
    const tokenizer = await load({ ...byteLevelJson(), ...change }, { bosId: 260 });
    await expect(tokenizer.encode("hell")).resolves.toBeInstanceOf(Int32Array);
  });

  test("a known model's expression and a text of eleven million spaces", async () => {
    const sequence = { type: "Sequence", pretokenizers: [split(LLAMA3), { type: "ByteLevel", use_regex: false }] };
    const json = byteLevelJson();
    Object.assign(sequence.pretokenizers[1] as object, { add_prefix_space: false, trim_offsets: true });
    const tokenizer = await load({ ...json, pre_tokenizer: sequence }, { bosId: 260 });
    await expect(tokenizer.encode(`${" ".repeat(11_000_000)}c`)).rejects.toThrow(InvalidOptionError);
    await expect(tokenizer.encode("hell")).resolves.toEqual(Int32Array.of(260, 258));
  });
});

/** The kind that Llama 2's newer conversions have: Metaspace in front of the first word only. */
function metaspaceJson(): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["<unk>", "<s>", ...bytes, "▁", "t", "h", "e", "▁t", "he", "▁the", "the"];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [added(0, "<unk>"), added(1, "<s>")],
    normalizer: null,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
    post_processor: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: ["▁ t", "h e", "▁t he", "t he"],
    },
  };
}

describe("tokenizerFromJson", () => {
  test("equals the library on random texts, byte-level with added tokens of every flag", async () => {
    const json = byteLevelJson();
    const tokenizer = await load(json, { bosId: 260 });
    const library = Library.fromString(JSON.stringify({ ...json, truncation: null }));
    const random = uniform(6);
    const extras = [" <left>", "<right>  a", "sword", "word", " word.", "<bos>", "<think>", "hell"];
    for (let round = 0; round < 400; round++) {
      const extra = (): string => extras[Math.floor(random() * extras.length)]!;
      const text = extra() + randomText(random) + extra() + extra();
      const expected = (await library.encode(text, null, { addSpecialTokens: false })).getIds();
      const ids = await tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
      expect([...ids]).toEqual(expected);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(await library.decode(expected, false));
    }
  });

  test("the post-processor says whether BOS is added, an option goes before it", async () => {
    const json = byteLevelJson();
    const tokenizer = await load(json, { bosId: 260, eosIds: [261] });
    expect([tokenizer.addBos, tokenizer.bosId, tokenizer.eosIds]).toEqual([true, 260, [261]]);
    expect((await tokenizer.encode("hell"))[0]).toBe(260);
    const without = await load(json, { bosId: 260, addBos: false });
    expect(without.addBos).toBe(false);
    expect([...(await without.encode("hell"))]).toEqual([258]);
    const forced = await load({ ...json, post_processor: null }, { bosId: 260, addBos: true });
    expect([...(await forced.encode("hell"))]).toEqual([260, 258]);
  });

  test("the file's truncation does not cut texts", async () => {
    const tokenizer = await load(byteLevelJson());
    expect(await tokenizer.encode("abcdefgh", { addSpecial: false })).toHaveLength(8);
  });

  test("equals the library for Metaspace with byte fallback, control tokens included", async () => {
    const json = metaspaceJson();
    const tokenizer = await load(json, { bosId: 1 });
    const library = Library.fromString(JSON.stringify(json));
    for (const text of ["the", " the", "the<s>the", "<s>the", "th é한 the", "  the ", "👩‍👧", "▁the", ""]) {
      const expected = (await library.encode(text, null, { addSpecialTokens: false })).getIds();
      const ids = await tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
      expect([...ids]).toEqual(expected);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(await library.decode(expected, false));
      const plain = await tokenizer.encode(text, { addSpecial: false });
      expect([...plain].filter((id) => tokenizer.isSpecial(id))).toEqual([]);
    }
  });

  test("ids without a token read as nothing", async () => {
    const tokenizer = await load(byteLevelJson(), { vocabularySize: 300 });
    expect(tokenizer.vocabularySize).toBe(300);
    expect(tokenizer.decode([299, 258])).toBe("hell");
  });

  const change = (path: "model" | "root", changes: object): string => {
    const json = byteLevelJson();
    const model = { ...(json.model as object), ...(path === "model" ? changes : {}) };
    return JSON.stringify({ ...json, model, ...(path === "root" ? changes : {}) });
  };

  test.each<[string, string, new (message: string) => Error, RegExp]>([
    ["no JSON", "{", ModelFormatError, /JSON/],
    ["a list", "[]", ModelFormatError, /./],
    ["null", "null", ModelFormatError, /./],
    ["another model", change("model", { type: "Unigram", vocab: [["a", 0]] }), UnsupportedModelError, /Unigram/],
    ["no vocabulary", change("model", { vocab: {} }), UnsupportedModelError, /vocabulary/],
    ["an impossible id", change("model", { vocab: { a: 1e15 } }), ModelFormatError, /1000000000000000/],
    ["an id that is no number", change("model", { vocab: { a: "b" } }), ModelFormatError, /id/],
    ["merges of unknown pieces", change("model", { merges: ["x yz"] }), ModelFormatError, /yz/],
    ["an unknown decoder", change("root", { decoder: { type: "WordPiece" } }), UnsupportedModelError, /WordPiece/],
    ["an unknown post-processor", change("root", { post_processor: { type: "X" } }), UnsupportedModelError, /"X"/],
    ["added tokens that are none", change("root", { added_tokens: [5] }), ModelFormatError, /added_tokens/],
  ])("refuses %s", async (_, json, errorClass, message) => {
    const building = tokenizerFromJson(json);
    await expect(building).rejects.toThrow(errorClass);
    await expect(building).rejects.toThrow(message);
  });
});

test.each([1000, 5000, 200_000])("a file nested %i times ends nothing", async (depth) => {
  const deep = (open: string, close: string): string => open.repeat(depth) + close.repeat(depth);
  const { normalizer: _, ...rest } = byteLevelJson();
  const json = JSON.stringify(rest).slice(0, -1);
  for (const part of [
    `"other":${deep("[", "]")}`,
    `"normalizer":${'{"type":"Sequence","normalizers":['.repeat(depth)}{"type":"NFC"}${"]}".repeat(depth)}`,
  ]) {
    const tokenizer = await tokenizerFromJson(`${json},${part}}`).catch((error: unknown) => {
      expect(error).toBeInstanceOf(ModelFormatError);
      return undefined;
    });
    tokenizer?.close();
  }
});
