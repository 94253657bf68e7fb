/** Types that a conversion can write, what each costs, and what is said where a type cannot hold a model. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  type BitnetError,
  convertToGguf,
  InvalidOptionError,
  Model,
  UnsupportedModelError,
  type ConvertOptions,
} from "../../lib";
import { readGguf } from "../../lib/files/gguf";
import { maxDifference } from "../helpers/compare";
import { writeHfFolder } from "../helpers/hf_folder";
import { temporaryFolder } from "../helpers/tiny_model";
import { alphabet } from "../tokenizer/vocabularies";
import { writeTinyFolder, type TinyFolderOptions } from "../helpers/tiny_folder";
import { loadReference } from "../reference/model";

jest.setTimeout(60_000);

const folder = temporaryFolder();
let count = 0;

function tiny(options: Partial<TinyFolderOptions> = {}): { input: string; output: string } {
  const input = join(folder, String(count++));
  writeTinyFolder(input, { family: "llama", headDim: 64, layers: 1, ...options });
  return { input, output: `${input}.gguf` };
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => {
      throw new Error("it did not fail");
    },
    (error: unknown) => error as Error,
  );

/** Root mean square of a difference over that of the values. */
function relativeError(actual: Float64Array, expected: Float64Array): number {
  let [error, squares] = [0, 0];
  expected.forEach((value, i) => {
    error += (value - actual[i]!) ** 2;
    squares += value * value;
  });
  return Math.sqrt(error / squares);
}

// Normal values in blocks: a step of max / 127 gives about 0.5 %, one of max / 32 about 1.6 % of their size.
test.each([
  ["q8_0", 0.0025, 0.007],
  ["q6_k", 0.008, 0.02],
] as const)("an embedding and a head in %s are as exact as the type is", async (type, least, most) => {
  const { input, output } = tiny({ tied: false });
  const report = await convertToGguf(input, output, { embeddingType: type });
  const { embedding, head } = loadReference(output).weights;
  const expected = loadReference(input).weights;
  for (const [actual, wanted] of [
    [embedding, expected.embedding],
    [head, expected.head],
  ] as const) {
    const error = relativeError(actual.values, wanted.values);
    expect(error).toBeGreaterThan(least);
    expect(error).toBeLessThan(most);
  }
  const largest = Math.max(
    maxDifference(embedding.values, expected.embedding.values),
    maxDifference(head.values, expected.head.values),
  );
  expect(report.rounding.maxError).toBeCloseTo(largest, 6);
  const model = await Model.load(output);
  await model.close();
});

test("types of their own for embedding and head", async () => {
  const { input, output } = tiny({ tied: false });
  await convertToGguf(input, output, { embeddingType: "bf16", headType: "q6_k" });
  const { embedding, head } = loadReference(output).weights;
  const expected = loadReference(input).weights;
  expect(relativeError(embedding.values, expected.embedding.values)).toBe(0);
  expect(relativeError(head.values, expected.head.values)).toBeGreaterThan(0);
});

test.each<[string, Partial<TinyFolderOptions>, ConvertOptions, RegExp, typeof BitnetError]>([
  ["groups under one scale", { storage: "unpacked-groups" }, { type: "i2_s" }, /"q2_0"/, UnsupportedModelError],
  [
    "groups of 128 in blocks of 256",
    { storage: "unpacked-groups" },
    { type: "tq2_0" },
    /"q2_0"/,
    UnsupportedModelError,
  ],
  ["groups in rows with one scale", { storage: "unpacked-groups" }, { type: "t5" }, /"q2_0"/, UnsupportedModelError],
  ["an embedding that is not ternary", {}, { embeddingType: "q2_0" }, /not ternary/, UnsupportedModelError],
  ["rows of 132 in blocks", { width: 132, headDim: 32 }, { type: "tq2_0" }, /multiple of 256/, UnsupportedModelError],
  [
    "rows of 132 as q6_k",
    { width: 132, headDim: 32 },
    { type: "t5", embeddingType: "q6_k" },
    /multiple of 256/,
    UnsupportedModelError,
  ],
  ["an unknown type", {}, { embeddingType: "q3_k" as "f16" }, /q8_0/, InvalidOptionError],
])("%s: refused, and nothing is written", async (_, options, convert, message, type) => {
  const { input, output } = tiny(options);
  const error = await failure(convertToGguf(input, output, convert));
  expect(error).toBeInstanceOf(type);
  expect(error.message).toMatch(message);
  expect(existsSync(output)).toBe(false);
});

test("one scale a matrix, written out as floats, fits every type, in the same bits", async () => {
  const { input } = tiny({ storage: "unpacked-matrix", headDim: 64, ffn: 512 });
  const tokens = [1, 2, 3, 250];
  const logits = async (path: string): Promise<Float32Array> => {
    const model = await Model.load(path, { threads: 2 });
    try {
      return await model.evaluate(tokens);
    } finally {
      await model.close();
    }
  };
  const expected = await logits(input);
  for (const type of ["i2_s", "tq1_0", "tq2_0", "q2_0", "t5"] as const) {
    const output = `${input}-${type}.gguf`;
    await convertToGguf(input, output, { type, embeddingType: "f32" });
    expect([type, await logits(output)]).toEqual([type, expected]);
  }
});

test("floats that are not ternary are refused when they are loaded, with what is missing", async () => {
  const { input } = tiny({ storage: "BF16", config: { quantization_config: undefined } });
  const error = await failure(Model.load(input));
  expect(error.message).toMatch(/more than one magnitude.*quantization_config/s);
});

test("a token behind every text is the same from the folder and from the file", async () => {
  const input = join(folder, "behind");
  writeHfFolder(input, "master", {
    config: { eos_token_id: [258, 259], bos_token_id: 257 },
    tokenizer: (json) => {
      json.post_processor = {
        type: "TemplateProcessing",
        single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "<|end|>", type_id: 0 } }],
        special_tokens: { "<|end|>": { id: "<|end|>", ids: [259], tokens: ["<|end|>"] } },
      };
    },
  });
  await convertToGguf(input, `${input}.gguf`);
  const vectors: Float32Array[] = [];
  for (const path of [input, `${input}.gguf`]) {
    const model = await Model.load(path);
    expect((await model.tokenizer.encode("ab")).at(-1)).toBe(259);
    vectors.push(...(await model.embed(["ab"], { pooling: "last" })));
    await model.close();
  }
  expect(vectors[0]).toEqual(vectors[1]);
});

test.each([
  ["gpt-2", null, 3],
  ["olmo", { type: "NFC" }, 2],
])("GPT-2's splitting as %s: the same ids from the folder and from the file", async (pre, normalizer, bytes) => {
  const input = join(folder, pre);
  writeHfFolder(input, "master", {
    tokenizer: (json) => {
      const vocab = Object.fromEntries(alphabet().map((piece, id) => [piece, id]));
      const pre_tokenizer = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
      Object.assign(json, { normalizer, pre_tokenizer, model: { type: "BPE", vocab, merges: [] } });
    },
  });
  await convertToGguf(input, `${input}.gguf`);
  for (const path of [input, `${input}.gguf`]) {
    await using model = await Model.load(path);
    // A letter and an accent: one character of two bytes in the normal form.
    expect([path, ...(await model.tokenizer.encode("e\u0301", { addSpecial: false }))]).toHaveLength(1 + bytes);
  }
  expect((await readGguf(`${input}.gguf`)).metadata.get("tokenizer.ggml.pre")?.value).toBe(pre);
});
