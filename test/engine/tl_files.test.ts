/** Files of bitnet.cpp's types TL1 and TL2, whose tile sizes are known for the shapes of three models only. */
import { closeSync, copyFileSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { readGguf } from "../../lib/files/gguf";
import type { TensorToWrite } from "../helpers/gguf_builder";
import { uniform } from "../helpers/random";
import { temporaryFolder, writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";
import { tl1Bytes, tl2Bytes, type Tiles } from "../helpers/tl_writers";
import { i2sBytes } from "../helpers/weight_writers";

jest.setTimeout(180_000);

const folder = temporaryFolder();

/** One layer of bitnet_b1_58-large. */
const LARGE: TinyModelOptions = { heads: 16, kvHeads: 16, headDim: 96, ffn: 4096, layers: 1, context: 64 };
const TOKENS = [262, 72, 101, 108, 108, 111];

/** What that model's converter used (bitnet.cpp's preset_kernels). */
const TL1: Readonly<Record<string, Tiles>> = {
  "1536x1536": { bm: 128, bk: 64, inner: 64 },
  "1536x4096": { bm: 256, bk: 128, inner: 32 },
  "4096x1536": { bm: 256, bk: 128, inner: 32 },
};
const TL2: Readonly<Record<string, Tiles>> = {
  "1536x1536": { bm: 128, bk: 192, inner: 32 },
  "1536x4096": { bm: 256, bk: 96, inner: 32 },
  "4096x1536": { bm: 256, bk: 96, inner: 32 },
};

type Write = (codes: Int8Array, columns: number, scale: number) => Buffer;

const BYTES: Readonly<Record<"I2_S" | "TL1" | "TL2", Write>> = {
  I2_S: (codes, _, scale) => i2sBytes(codes, scale),
  TL1: (codes, columns, scale) => tl1Bytes(codes, columns, scale, TL1[`${codes.length / columns}x${columns}`]!),
  TL2: (codes, columns, scale) => tl2Bytes(codes, columns, scale, TL2[`${codes.length / columns}x${columns}`]!),
};

/** Models of the same codes, one for each type; "apart" as bitnet.cpp's converter writes them. */
const paths: Record<string, string> = {};

/** The scale at a tensor's end as a tensor of its own, a number without dimensions, whose bytes are the same. */
function scaleApart(tensor: TensorToWrite): TensorToWrite[] {
  const codes = tensor.bytes.length - 32;
  const scale = tensor.bytes.subarray(codes, codes + 4);
  return [
    { ...tensor, bytes: tensor.bytes.subarray(0, codes) },
    { name: `${tensor.name}_scale`, type: "F32", shape: [], bytes: scale },
  ];
}

beforeAll(() => {
  const drawn = new Map<string, { codes: Int8Array; scale: number }>();
  for (const [type, apart] of [
    ["I2_S", false],
    ["TL1", false],
    ["TL2", false],
    ["I2_S", true],
    ["TL1", true],
    ["TL2", true],
  ] as const) {
    // The writer's own generator is left alone, so that all else in the files is the same too.
    const matrix = (name: string, rows: number, columns: number): TensorToWrite[] => {
      const random = uniform(drawn.size);
      const { codes, scale } = drawn.get(name) ?? {
        codes: Int8Array.from({ length: rows * columns }, () => Math.floor(random() * 3) - 1),
        scale: Math.fround((0.7 + 0.6 * random()) / Math.sqrt((columns * 2) / 3)),
      };
      drawn.set(name, { codes, scale });
      const tensor = { name, type, shape: [rows, columns], bytes: BYTES[type](codes, columns, scale) };
      return apart ? scaleApart(tensor) : [tensor];
    };
    const path = join(folder, `${type}${apart ? " apart" : ""}.gguf`);
    paths[apart ? `${type} apart` : type] = path;
    writeTinyModel(path, { ...LARGE, embedding: "F32", matrix });
  }
});

async function logits(path: string): Promise<Float32Array> {
  const model = await Model.load(path, { threads: 2 });
  try {
    return await model.evaluate(TOKENS);
  } finally {
    await model.close();
  }
}

test("the same codes give the same bits in I2_S, TL1 and TL2", async () => {
  const expected = await logits(paths.I2_S!);
  expect(new Set(expected).size).toBeGreaterThan(100);
  expect(await logits(paths.TL1!)).toEqual(expected);
  expect(await logits(paths.TL2!)).toEqual(expected);
  for (const type of ["I2_S apart", "TL1 apart", "TL2 apart"]) {
    expect([type, await logits(paths[type]!)]).toEqual([type, expected]);
  }
});

test("a scale that does not stand behind its codes is refused", async () => {
  const path = join(folder, "elsewhere.gguf");
  writeTinyModel(path, {
    matrix: (name, rows, columns, random) => {
      const codes = Int8Array.from({ length: rows * columns }, () => Math.floor(random() * 3) - 1);
      const scale = Buffer.alloc(4);
      scale.writeFloatLE(0.5);
      return [
        { name, type: "I2_S", shape: [rows, columns], bytes: i2sBytes(codes, 0.02) },
        { name: `${name}_scale`, type: "F32", shape: [], bytes: scale },
      ];
    },
  });
  await expect(Model.load(path)).rejects.toBeInstanceOf(UnsupportedModelError);
  await expect(Model.load(path)).rejects.toThrow(/blk\.0\.attn_q\.weight_scale/);
});

test.each([
  ["TL1", 100, 0x9f],
  // The signs: a triple of zeros has none.
  ["TL2", (4096 * 1536) / 6 + 7, 0xff],
] as const)("a damaged %s file is told", async (type, at, value) => {
  const path = join(folder, `damaged-${type}.gguf`);
  copyFileSync(paths[type]!, path);
  const { offset = 0 } = (await readGguf(path)).tensors.find(({ name }) => name === "blk.0.ffn_up.weight") ?? {};
  expect(offset).toBeGreaterThan(0);
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(64, value), 0, 64, offset + at);
  closeSync(file);
  const loading = Model.load(path).catch((error: unknown) => error);
  expect(await loading).toBeInstanceOf(ModelFormatError);
  expect(String(await loading)).toMatch(/blk\.0\.ffn_up\.weight.*an index that stands for no ternary weights/);
});

test.each([
  ["TL1", (codes: Int8Array) => Buffer.alloc(codes.length / 4 + 32)],
  [
    "TL2",
    (codes: Int8Array, columns: number) => {
      const rows = codes.length / columns;
      const size = (((columns - 256) * rows) / 3) * (5 / 8) + 64 * rows;
      return Buffer.alloc(Math.ceil(size / 32) * 32 + 32);
    },
  ],
] as const)("%s of another shape is refused", async (type, bytesOf) => {
  const path = join(folder, `small-${type}.gguf`);
  writeTinyModel(path, {
    ...{ heads: 4, kvHeads: 4, headDim: 64, ffn: 512, layers: 1 },
    matrix: (name, rows, columns) => {
      const bytes = bytesOf(new Int8Array(rows * columns), columns);
      return { name, type, shape: [rows, columns], bytes };
    },
  });
  await expect(Model.load(path)).rejects.toBeInstanceOf(UnsupportedModelError);
  await expect(Model.load(path)).rejects.toThrow(/tile sizes.*not known for a matrix of 256 x 256.*I2_S/);
});
