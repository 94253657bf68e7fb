import { TokenType, type GgufValue } from "../../lib/files/gguf";

/** Tokens of models with a large vocabulary that are special, as in Llama 3. */
const MANY_SPECIALS = 256;

/** The 256 characters that stand for bytes in byte-level BPE: printable ones for themselves, the rest from U+0100 on. */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/**
 * A byte-level BPE vocabulary of any size from 260 on, as `tokenizer.*` metadata. After the bytes come all strings of
 * letters, with and without a leading space, by length; every way to split such a token into two tokens is a merge, so
 * that each token's text merges into the token, and the merges are as many as real vocabularies have.
 */
export function syntheticVocabulary(size: number): [string, GgufValue][] {
  const specials = size >= 100_000 ? MANY_SPECIALS : 2;
  const words = size - specials;
  const tokens = byteCharacters();
  const merges: string[] = [];
  const letters = Array.from("etaoinshrdlcumwfgypbvkjxqz");
  // Grown breadth-first: a token's prefixes and suffixes are shorter, and so are there before it.
  let level = ["\u0120", ...letters];
  while (tokens.length < words) {
    const longer: string[] = [];
    for (const start of level) {
      for (const letter of letters) {
        if (tokens.length === words) break;
        const token = start + letter;
        tokens.push(token);
        longer.push(token);
        for (let cut = 1; cut < token.length; cut++) merges.push(`${token.slice(0, cut)} ${token.slice(cut)}`);
      }
    }
    level = longer;
  }
  const types = new Int32Array(size).fill(TokenType.Normal).fill(TokenType.Control, words);
  tokens.push("<|begin_of_text|>", "<|end_of_text|>");
  for (let i = 0; tokens.length < size; i++) tokens.push(`<|reserved_special_token_${i}|>`);
  return [
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "llama-bpe" }],
    ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "array", elementType: "int32", value: types }],
    ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: merges }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: words }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: words + 1 }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
  ];
}
