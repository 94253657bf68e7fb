import type { GgufVocabulary } from "../../lib/files/gguf/vocabulary";

/** A vocabulary in plain arrays. */
export type TestVocabulary = GgufVocabulary & { tokens: string[]; merges?: string[] };

/** The byte-level alphabet as GPT-2's definition has it: visible Latin-1 first, the others numbered from U+0100. */
export function alphabet(): string[] {
  const characters: string[] = [];
  let next = 0;
  for (let byte = 0; byte < 256; byte++) {
    const visible = (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
    characters.push(String.fromCodePoint(visible ? byte : 256 + next++));
  }
  return characters;
}

/** A byte-level vocabulary of all bytes, a few merges, and control and user-defined tokens at the end. */
export function byteLevelVocabulary(pre = "llama-bpe"): TestVocabulary {
  const tokens = alphabet();
  const merges = ["h e", "l l", "he ll", "hell o", "Ġ hello", "1 2", "2 3", "12 3", "1 23", "i n", "Ġ Ġ"];
  tokens.push(...merges.map((merge) => merge.replace(" ", "")).filter((piece, i, all) => all.indexOf(piece) === i));
  const control = tokens.length;
  tokens.push("<|begin|>", "<|end|>", "<|eot_id|>", "<|eot_id|>!", "<think>", "é<");
  const tokenTypes = new Int32Array(tokens.length).fill(1);
  tokenTypes.fill(3, control, control + 4);
  tokenTypes.fill(4, control + 4);
  return {
    model: "gpt2",
    pre,
    tokens,
    tokenTypes,
    merges,
    bosId: control,
    eosId: control + 1,
    eosIds: [control + 1, control + 2],
    addBos: true,
  };
}

/** A SentencePiece vocabulary: unknown, BOS, EOS, 256 bytes, and pieces whose scores fall with their ids. */
export function sentencePieceVocabulary(): TestVocabulary {
  const tokens = ["<unk>", "<s>", "</s>"];
  for (let byte = 0; byte < 256; byte++) tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const bytes = tokens.length;
  const joined = [
    "▁t",
    "he",
    "in",
    "er",
    "▁a",
    "▁the",
    "the",
    "▁▁",
    "or",
    "▁w",
    "▁wor",
    "ld",
    "▁world",
    "한국",
    "▁한국",
    "aa",
  ];
  const characters = ["▁", "t", "h", "e", "i", "n", "r", "a", "o", "w", "l", "d", "한", "국", "."];
  tokens.push(...joined, ...characters);
  const tokenTypes = new Int32Array(tokens.length).fill(1);
  tokenTypes.set([2, 3, 3]);
  tokenTypes.fill(6, 3, bytes);
  const scores = Float32Array.from(tokens, (_, id) => (id < bytes ? 0 : bytes - id));
  const special = { bosId: 1, eosId: 2, unknownId: 0, eosIds: [2], addBos: true };
  return { model: "llama", tokens, tokenTypes, scores, ...special };
}

/** Texts made of words, Korean syllables, joined emoji, white space and control tokens' texts. */
export function randomText(random: () => number): string {
  const below = (bound: number): number => Math.floor(random() * bound);
  const words = [
    "hello",
    " hello",
    "Hello",
    " the world",
    "한국",
    " 한국어",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇰🇷",
    "é",
    "e\u0301",
    "\u200d",
    "\0",
  ];
  words.push("\n\n", "\r\n", "\t", "  ", "123456", "don't", "'LL", "\ufeff", "𝔘", "ſ", "...", "▁", "<0x41>", "<s>");
  words.push("<|eot_id|>", "<|begin|>", "<think>", "aaaa");
  let text = "";
  for (let i = below(10); i >= 0; i--) {
    const kind = below(4);
    if (kind < 2) text += words[below(words.length)]!;
    else if (kind === 2) text += String.fromCodePoint(0xac00 + below(11172));
    else text += String.fromCodePoint(below(2) ? below(0xd800) : 0x1f300 + below(0x600));
  }
  return text;
}

/** Any characters at all, now and then a lone surrogate. */
export function anyText(random: () => number): string {
  const length = 1 + Math.floor(random() * 40);
  const ranges = [0x80, 0x250, 0x3000, 0xffff, 0x10ffff];
  return Array.from({ length }, () =>
    String.fromCodePoint(Math.floor(random() * ranges[Math.floor(random() * ranges.length)]!)),
  ).join("");
}
