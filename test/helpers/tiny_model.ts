/**
 * Small random BitNet models as GGUF files, complete with a byte-level vocabulary, so that `Model.load` takes them and
 * the reference (test/reference) can say what must come out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeGguf, type MetadataValue, type TensorToWrite } from "./gguf_builder";
import { uniform } from "./random";
import { randomDense, randomNorm, randomTernary, type DenseFormat } from "./weight_writers";

/** What the model shall be; the defaults give a two-layer model of width 128. */
export interface TinyModelOptions {
  /** Default 1. */
  seed?: number;
  /** `bitnet-b1.58` and `bitnet-25` mean squared ReLU, `bitnet` SiLU. Default `bitnet-b1.58`. */
  architecture?: "bitnet-b1.58" | "bitnet-25" | "bitnet";
  /** Default 2. */
  layers?: number;
  /** Query heads. Default 4. */
  heads?: number;
  /** Default 2. */
  kvHeads?: number;
  /** Default 32. */
  headDim?: number;
  /** Length of the hidden state. Default heads * headDim. */
  width?: number;
  /** Default 256. */
  ffn?: number;
  /** Positions. Default 256. */
  context?: number;
  ropeTheta?: number;
  /** Of the embedding, which is the head too unless `head` is given. Default F16. */
  embedding?: DenseFormat;
  /** Format of a head of its own. Default: tied. */
  head?: DenseFormat;
  /** Writes the matrix of a linear layer, as one tensor or several. Default: random I2_S. */
  matrix?: (
    name: string,
    rows: number,
    columns: number,
    random: () => number,
  ) => TensorToWrite | readonly TensorToWrite[];
  /** Metadata to add or replace; undefined drops a key. */
  metadata?: Readonly<Record<string, MetadataValue | undefined>>;
}

/** Id of the first token of a text in every tiny model. */
export const TINY_BOS = 262;
/** Id of the token that ends a text. */
export const TINY_EOS = 263;
/** Tokens of every tiny model: 256 bytes, 6 merges, begin and end. */
export const TINY_VOCABULARY = 264;

/** GPT-2's printable stand-in for each byte. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const shown = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(shown ? byte : next++);
  });
}

/** Byte-level vocabulary whose ids 0..255 are the bytes themselves, with a few merges that make " the" and "and". */
export function tinyVocabulary(): Record<string, MetadataValue> {
  const merges = ["t h", "th e", "\u0120 the", "a n", "an d", "i n"];
  const tokens = [...byteCharacters(), ...merges.map((merge) => merge.replace(" ", "")), "<|bos|>", "<|eos|>"];
  return {
    "tokenizer.ggml.model": { type: "string", value: "gpt2" },
    "tokenizer.ggml.pre": { type: "string", value: "llama-bpe" },
    "tokenizer.ggml.tokens": { type: "strings", value: tokens },
    "tokenizer.ggml.token_type": { type: "i32s", value: tokens.map((_, id) => (id >= TINY_BOS ? 3 : 1)) },
    "tokenizer.ggml.merges": { type: "strings", value: merges },
    "tokenizer.ggml.bos_token_id": { type: "u32", value: TINY_BOS },
    "tokenizer.ggml.eos_token_id": { type: "u32", value: TINY_EOS },
    "tokenizer.ggml.add_bos_token": { type: "bool", value: true },
  };
}

/** Writes a random model to `path`; the same options give the same bytes. */
export function writeTinyModel(path: string, options: TinyModelOptions = {}): void {
  const { architecture = "bitnet-b1.58", layers = 2, heads = 4, kvHeads = 2, headDim = 32, ffn = 256 } = options;
  const random = uniform(options.seed ?? 1);
  const queryWidth = heads * headDim;
  const width = options.width ?? queryWidth;
  const kvWidth = kvHeads * headDim;

  const tensors: TensorToWrite[] = [
    randomDense("token_embd.weight", options.embedding ?? "F16", TINY_VOCABULARY, width, random),
    randomNorm("output_norm.weight", width, random),
  ];
  if (options.head) tensors.push(randomDense("output.weight", options.head, TINY_VOCABULARY, width, random));
  for (let layer = 0; layer < layers; layer++) {
    const norm = (role: string, length: number): TensorToWrite =>
      randomNorm(`blk.${layer}.${role}.weight`, length, random);
    const ternary = (role: string, rows: number, columns: number): readonly TensorToWrite[] =>
      [(options.matrix ?? randomTernary)(`blk.${layer}.${role}.weight`, rows, columns, random)].flat();
    tensors.push(
      norm("attn_norm", width),
      ...ternary("attn_q", queryWidth, width),
      ...ternary("attn_k", kvWidth, width),
      ...ternary("attn_v", kvWidth, width),
      norm("attn_sub_norm", queryWidth),
      ...ternary("attn_output", width, queryWidth),
      norm("ffn_norm", width),
      ...ternary("ffn_gate", ffn, width),
      ...ternary("ffn_up", ffn, width),
      norm("ffn_sub_norm", ffn),
      ...ternary("ffn_down", width, ffn),
    );
  }

  const metadata: Record<string, MetadataValue | undefined> = {
    "general.architecture": { type: "string", value: architecture },
    "general.name": { type: "string", value: "tiny random test model" },
    "general.file_type": { type: "u32", value: 40 },
    [`${architecture}.vocab_size`]: { type: "u32", value: TINY_VOCABULARY },
    [`${architecture}.context_length`]: { type: "u32", value: options.context ?? 256 },
    [`${architecture}.embedding_length`]: { type: "u32", value: width },
    [`${architecture}.block_count`]: { type: "u32", value: layers },
    [`${architecture}.feed_forward_length`]: { type: "u32", value: ffn },
    [`${architecture}.attention.key_length`]: width === queryWidth ? undefined : { type: "u32", value: headDim },
    [`${architecture}.rope.dimension_count`]: { type: "u32", value: headDim },
    [`${architecture}.rope.freq_base`]: { type: "f32", value: options.ropeTheta ?? 10000 },
    [`${architecture}.attention.head_count`]: { type: "u32", value: heads },
    [`${architecture}.attention.head_count_kv`]: { type: "u32", value: kvHeads },
    [`${architecture}.attention.layer_norm_rms_epsilon`]: { type: "f32", value: 1e-5 },
    ...tinyVocabulary(),
    ...options.metadata,
  };
  const present = Object.entries(metadata).filter((entry): entry is [string, MetadataValue] => entry[1] !== undefined);
  writeGguf(path, { metadata: Object.fromEntries(present), tensors });
}

/** A folder that is removed after the tests of the calling file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "node-bitnet-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
