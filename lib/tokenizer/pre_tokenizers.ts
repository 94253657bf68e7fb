import { UnsupportedModelError } from "../errors";

/** How text is cut into words before byte-level BPE merges inside each. */
export interface PreTokenizer {
  /** Names in `tokenizer.ggml.pre`. */
  names: readonly string[];
  /** Regular expressions (Oniguruma); each cuts the pieces that the ones before left. */
  patterns: readonly string[];
  /** A word that is in the vocabulary is taken as it is, without following the merges. */
  ignoreMerges?: boolean;
  /** Unicode normal form applied to the text first. */
  normalForm?: "NFC";
}

// The patterns are those of the models' own tokenizer.json files.
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  {
    names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1"],
    patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`],
    ignoreMerges: true,
  },
  {
    names: ["qwen2", "deepseek-r1-qwen"],
    patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`],
    normalForm: "NFC",
  },
  { names: ["gpt-2", "phi-2", "mpt"], patterns: [GPT2] },
  // GPT-NeoX's tokenizer, which OLMo and TriLM have; llama.cpp leaves the normal form out.
  { names: ["olmo"], patterns: [GPT2], normalForm: "NFC" },
  { names: ["smollm", "starcoder", "refact", "command-r"], patterns: ["\\p{N}", GPT2] },
];

/** The expressions of all of them. */
export const knownPatterns: ReadonlySet<unknown> = new Set(PRE_TOKENIZERS.flatMap(({ patterns }) => patterns));

/** The pre-tokenizer called `name` in GGUF files; throws `UnsupportedModelError` for an unknown name. */
export function preTokenizer(name: string): PreTokenizer {
  const found = PRE_TOKENIZERS.find((entry) => entry.names.includes(name));
  if (found) return found;
  const known = PRE_TOKENIZERS.flatMap((entry) => entry.names).join(", ");
  throw new UnsupportedModelError(
    `Unknown pre-tokenizer "${name}" (tokenizer.ggml.pre): text would be split wrongly. Known are: ${known}`,
  );
}
