/** SentencePiece's own file format and Hugging Face's, written from their definitions. */
import type { TestVocabulary } from "../tokenizer/vocabularies";

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

/** A protocol buffer field of varint type. */
export function numberField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

/** A protocol buffer field of bytes. */
export function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint(number * 8 + 5), bytes]);
}

/** A `tokenizer.model`: ModelProto { pieces = 1, trainer_spec = 2, normalizer_spec = 3 }. */
export function sentencePieceModel(
  { tokens, scores, tokenTypes }: TestVocabulary,
  { modelType = 2, normalizer = [numberField(3, 1), numberField(4, 0)] } = {},
): Buffer {
  const pieces = tokens.map((token, id) =>
    bytesField(
      1,
      Buffer.concat([
        bytesField(1, Buffer.from(token)),
        floatField(2, scores![id]!),
        // NORMAL is the default and left out.
        ...(tokenTypes[id] === 1 ? [] : [numberField(3, tokenTypes[id]!)]),
      ]),
    ),
  );
  return Buffer.concat([
    ...pieces,
    bytesField(
      2,
      Buffer.concat([numberField(3, modelType), numberField(40, 0), numberField(41, 1), numberField(42, 2)]),
    ),
    bytesField(3, Buffer.concat(normalizer)),
  ]);
}

/** The tokenizer.json that Hugging Face's conversion makes of a SentencePiece vocabulary. */
export function sentencePieceJson({ tokens, scores, tokenTypes }: TestVocabulary): Record<string, unknown> {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { pair: string; score: number; left: number; right: number }[] = [];
  for (const left of tokens) {
    for (const right of tokens) {
      const id = ids.get(left + right);
      const [a, b] = [ids.get(left)!, ids.get(right)!];
      if (id === undefined || [id, a, b].some((each) => tokenTypes[each] !== 1)) continue;
      merges.push({ pair: `${left} ${right}`, score: scores![id]!, left: a, right: b });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  const special = (content: string): object => ({ id: ids.get(content), content, special: true });
  return {
    version: "1.0",
    added_tokens: ["<unk>", "<s>", "</s>"].map(special),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "\u2581" },
        { type: "Replace", pattern: { String: " " }, content: "\u2581" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "\u2581" }, content: " " },
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
      vocab: Object.fromEntries(ids),
      merges: merges.map(({ pair }) => pair),
    },
  };
}
