/** The weight formats of ggml and its forks, by the public API: exact against I2_S, within a tolerance against float64. */
import { join } from "node:path";
import { Model } from "../../lib";
import { loadAddon } from "../../lib/addon";
import { ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { BLOCK_WRITERS, blockTensor, rowScaledTensor, type BlockType } from "../helpers/block_writers";
import { maxDifference, rowsOf } from "../helpers/compare";
import type { TensorToWrite } from "../helpers/gguf_builder";
import { uniform } from "../helpers/random";
import { TINY_VOCABULARY, temporaryFolder, writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";
import { i2sBytes } from "../helpers/weight_writers";
import { loadReference } from "../reference/model";
import { halfToNumber } from "../reference/numbers";
import { tieFreePrompt } from "../reference/ties";

// Under sanitizers, on a busy machine, too.
jest.setTimeout(600_000);

const folder = temporaryFolder();

/** One for each family and instruction set that this CPU has and that takes group scales. */
const kernels = loadAddon()
  .kernels()
  .flatMap(({ name, family, available }) => (available && family.endsWith("group") ? [name] : []));
let files = 0;

/** All matrices have 256 or 512 columns, a multiple of every format's block. */
const SHAPE: TinyModelOptions = { heads: 4, kvHeads: 2, headDim: 64, ffn: 512, layers: 1 };
const TOKENS = [262, 72, 101, 108, 108, 111, 32, 116, 104, 101, 114, 101];

function write(matrix: NonNullable<TinyModelOptions["matrix"]>): string {
  const path = join(folder, `${files++}.gguf`);
  writeTinyModel(path, { ...SHAPE, matrix });
  return path;
}

async function logits(path: string, kernel?: string): Promise<Float32Array> {
  const model = await Model.load(path, { threads: 2, ...(kernel ? { kernel } : {}) });
  try {
    return await model.evaluate(TOKENS);
  } finally {
    await model.close();
  }
}

/** Bits of a binary16 number near 1 / sqrt(columns): 2^-5 to 2^-4 with a random mantissa. */
function randomScale(random: () => number): number {
  return (10 << 10) | Math.floor(random() * 1024);
}

function integers(count: number, low: number, high: number, random: () => number): Int8Array {
  return Int8Array.from({ length: count }, () => low + Math.floor(random() * (high - low + 1)));
}

/** What a block type's weights may be. */
function weights(type: BlockType, count: number, random: () => number): Int8Array {
  if (type === "Q4_0") return integers(count, -8, 7, random);
  if (type === "Q8_0") return integers(count, -128, 127, random);
  if (type === "Q1_0") return integers(count, 0, 1, random).map((bit) => 2 * bit - 1);
  return integers(count, -1, 1, random);
}

/** Scales of their own for every block, lowered by the size of the type's integers so that activations stay near 1. */
function varying(type: BlockType, shift = type === "Q8_0" ? 6 : type === "Q4_0" ? 2 : 0) {
  return (name: string, rows: number, columns: number, random: () => number): TensorToWrite => {
    const codes = weights(type, rows * columns, random);
    const scale = (): number => randomScale(random) - (shift << 10);
    return blockTensor(name, type, { codes, columns, scale });
  };
}

/** One scale for the whole tensor, the same for every format: codes and scales depend on the seed alone. */
function sameScale(write: (name: string, codes: Int8Array, columns: number, scale: number) => TensorToWrite) {
  return (name: string, rows: number, columns: number, random: () => number): TensorToWrite =>
    write(name, integers(rows * columns, -1, 1, random), columns, randomScale(random));
}

const asI2s = sameScale((name, codes, columns, scale) => ({
  name,
  type: "I2_S",
  shape: [codes.length / columns, columns],
  bytes: i2sBytes(codes, halfToNumber(scale)),
}));

const ternaryTypes = (Object.keys(BLOCK_WRITERS) as BlockType[]).filter((type) => !/^Q[148]_0$/.test(type));

describe("codes and one scale", () => {
  let expected: Float32Array;
  beforeAll(async () => {
    expected = await logits(write(asI2s));
  });

  test.each(ternaryTypes)("%s gives the bits of I2_S", async (type) => {
    const path = write(
      sameScale((name, codes, columns, scale) => blockTensor(name, type, { codes, columns, scale: () => scale })),
    );
    expect(await logits(path)).toEqual(expected);
  });

  test.each(["IQ1_BN", "IQ2_BN"] as const)("%s gives the bits of I2_S", async (type) => {
    const path = write(
      sameScale((name, codes, columns, scale) =>
        rowScaledTensor(name, type, { codes, columns }, () => {
          const bytes = Buffer.alloc(type === "IQ1_BN" ? 2 : 4);
          if (type === "IQ1_BN") bytes.writeUInt16LE(scale);
          else bytes.writeFloatLE(halfToNumber(scale));
          return bytes;
        }),
      ),
    );
    expect(await logits(path)).toEqual(expected);
  });

  test("the same text, greedily", async () => {
    const text = async (path: string): Promise<string> => {
      const model = await Model.load(path, { threads: 2 });
      try {
        return (await model.generate("over there", { maxTokens: 24, temperature: 0 })).text;
      } finally {
        await model.close();
      }
    };
    const tq2 = sameScale((name, codes, columns, scale) =>
      blockTensor(name, "TQ2_0", { codes, columns, scale: () => scale }),
    );
    expect(await text(write(tq2))).toBe(await text(write(asI2s)));
  });
});

/** Differences of float32 sums from float64 ones; logits are about 10 in size. */
const TOLERANCE = 1e-3;

/** Against W * A8 in float64, as the reference decodes the file. */
async function expectReference(path: string): Promise<void> {
  const prompt = tieFreePrompt(loadReference(path, { kv: "f32" }), 4, uniform(7));
  const model = await Model.load(path, { kvType: "f32", threads: 2 });
  try {
    const rows = rowsOf(await model.evaluate(prompt.tokens), TINY_VOCABULARY);
    const differences = rows.map((row, position) => maxDifference(row, prompt.logits[position]!));
    expect(Math.max(...differences)).toBeLessThan(TOLERANCE);
  } finally {
    await model.close();
  }
}

describe("a scale for every block", () => {
  const types = (Object.keys(BLOCK_WRITERS) as BlockType[]).filter((type) => type !== "Q2_0 in blocks of 128");

  test.each(types)("%s matches the dequantised reference", async (type) => {
    await expectReference(write(varying(type)));
  });

  test("types mixed within a layer, stacked and apart", async () => {
    const path = write((name, rows, columns, random) => {
      if (name.includes("attn_v")) return varying("Q8_0")(name, rows, columns, random);
      if (name.includes("attn_k") || name.includes("ffn_up")) return varying("TQ2_0")(name, rows, columns, random);
      if (name.includes("ffn_down")) return asI2s(name, rows, columns, random);
      return varying("Q4_0")(name, rows, columns, random);
    });
    await expectReference(path);
  });

  test("Q2_0's code 3, +2, is a weight", async () => {
    const path = write((name, rows, columns, random) => {
      const codes = integers(rows * columns, -1, 2, random);
      // One scale throughout: what keeps it from the ternary path is the code.
      return blockTensor(name, "Q2_0", { codes, columns, scale: () => randomScale(() => 0) });
    });
    await expectReference(path);
  });

  test.each(["Q1_0", "TQ2_0", "Q4_0", "Q8_0"] as const)("%s gives the same bits on every kernel", async (type) => {
    const path = write(varying(type));
    const scalar = await logits(path, "scalar");
    expect(await logits(path)).toEqual(scalar);
    for (const kernel of kernels) expect(await logits(path, kernel)).toEqual(scalar);
  });

  test("types mixed within a layer give the same bits on every kernel", async () => {
    const path = write((name, rows, columns, random) => {
      if (name.includes("attn_v") || name.includes("ffn_gate")) return varying("Q8_0")(name, rows, columns, random);
      if (name.includes("attn_k") || name.includes("ffn_down")) return varying("Q1_0")(name, rows, columns, random);
      if (name.includes("attn_output")) return asI2s(name, rows, columns, random);
      return varying("Q4_0")(name, rows, columns, random);
    });
    const scalar = await logits(path, "scalar");
    for (const kernel of kernels) expect(await logits(path, kernel)).toEqual(scalar);
  });

  test("a model runs on the kernels of its weights, and says which", async () => {
    const [group, lookUp] = ["scalar-group", "scalar-tmac-group"];
    const q4 = write(varying("Q4_0"));
    for (const [kernel, runs] of [
      ["scalar", group],
      ["scalar-t5", group],
      ["scalar-tmac2", lookUp],
      [group, group],
      [lookUp, lookUp],
    ] as const) {
      const model = await Model.load(q4, { kernel });
      expect([kernel, model.info.kernel]).toEqual([kernel, runs]);
      await model.close();
    }
    const model = await Model.load(write(asI2s), { kernel: lookUp });
    expect(model.info.kernel).toBe("scalar-i2s");
    await model.close();
  });
});

describe("damaged files", () => {
  test("code 3 in TQ2_0", async () => {
    const path = write((name, rows, columns, random) => {
      const tensor = varying("TQ2_0")(name, rows, columns, random);
      if (name.includes("blk.0.ffn_up")) tensor.bytes.writeUInt8(0xff, 66 * 5 + 7);
      return tensor;
    });
    await expect(Model.load(path)).rejects.toThrow(/blk\.0\.ffn_up\.weight.*code 3/);
    await expect(Model.load(path)).rejects.toBeInstanceOf(ModelFormatError);
  });

  test.each([
    ["TQ1_0", 52],
    ["Q4_0", 0],
  ] as const)("a scale of %s that is not a number", async (type, at) => {
    const path = write((name, rows, columns, random) => {
      const tensor = varying(type)(name, rows, columns, random);
      if (name.includes("blk.0.attn_k")) tensor.bytes.writeUInt16LE(0x7e00, at);
      return tensor;
    });
    await expect(Model.load(path)).rejects.toThrow(/blk\.0\.attn_k\.weight.*finite/);
  });

  test("a type that no linear layer can have", async () => {
    const path = write((name, rows, columns) => ({
      name,
      type: "F16",
      shape: [rows, columns],
      bytes: Buffer.alloc(rows * columns * 2),
    }));
    await expect(Model.load(path)).rejects.toBeInstanceOf(UnsupportedModelError);
  });
});
