/** GPTQ folders of 2, 3 and 4 bits, by the public API, against float64 on the weights they were written from. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { loadAddon } from "../../lib/addon";
import { ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { maxDifference, rowsOf } from "../helpers/compare";
import { writeSafetensors, type HfTensor } from "../helpers/hf_folder";
import { uniform } from "../helpers/random";
import { FOLDER_VOCABULARY, writeTinyFolder } from "../helpers/tiny_folder";
import { temporaryFolder } from "../helpers/tiny_model";
import type { LayerWeights } from "../reference/decoder";
import { loadReference, type ReferenceModel } from "../reference/model";
import { halfToNumber } from "../reference/numbers";
import { readSafetensors } from "../reference/safetensors";
import { tieFreePrompt } from "../reference/ties";
import type { TernaryMatrix } from "../reference/weights";

// Under sanitizers, on a busy machine, too.
jest.setTimeout(600_000);
const root = temporaryFolder();

/** Fields of `bits` bits, one after another in little-endian 32-bit words. */
function pack(values: readonly number[], bits: number): Uint32Array {
  const words = new Uint32Array((values.length * bits) / 32);
  values.forEach((value, i) => {
    for (let b = 0; b < bits; b++) {
      const bit = i * bits + b;
      if ((value >> b) & 1) words[bit >> 5] = (words[bit >> 5]! | (1 << (bit & 31))) >>> 0;
    }
  });
  return words;
}

const ROLES: Readonly<Record<string, keyof LayerWeights>> = {
  "self_attn.q_proj": "query",
  "self_attn.k_proj": "key",
  "self_attn.v_proj": "value",
  "self_attn.o_proj": "attentionOutput",
  "mlp.gate_proj": "gate",
  "mlp.up_proj": "up",
  "mlp.down_proj": "down",
};

interface Options {
  bits: 2 | 3 | 4;
  groupSize: number;
  version?: "gptq" | "gptq_v2";
  /** The group of a column; absent: groups are runs of columns. */
  index?: (column: number, size: number, columns: number) => number;
}

/** A llama folder whose projections are random GPTQ matrices, and the reference with the same matrices. */
function write(name: string, { bits, groupSize, version = "gptq", index }: Options): [string, ReferenceModel] {
  const folder = join(root, name);
  writeTinyFolder(folder, { family: "llama", layers: 1 });
  const reference = loadReference(folder, { kv: "f32" });
  const file = join(folder, "model.safetensors");
  const stored = readSafetensors(file);
  const tensors = new Map<string, HfTensor>();
  const random = uniform(11);
  for (const [tensorName, { shape, bytes, format }] of stored) {
    const base = tensorName.replace(/\.weight$/, "");
    const role = ROLES[base.replace(/^model\.layers\.\d+\./, "")];
    if (!role) {
      tensors.set(tensorName, { dtype: format, shape, bytes });
      continue;
    }
    const [rows = 0, columns = 0] = shape;
    const size = groupSize === -1 ? columns : groupSize;
    const groups = columns / size;
    const draw = (count: number, limit: number): number[] =>
      Array.from({ length: count }, () => Math.floor(random() * limit));
    const codes = draw(rows * columns, 2 ** bits);
    const zeros = draw(groups * rows, 2 ** bits - 1);
    const exponent = 15 - 3 - bits; // 2^(-3 - bits), so that weights are about 1 / sqrt(128)
    const scales = draw(groups * rows, 1024).map((mantissa) => (exponent << 10) | mantissa);

    const words = new Uint32Array((rows * columns * bits) / 32);
    const weights = new Int8Array(rows * columns);
    const scaleOf = new Float64Array(rows * columns);
    const place = (k: number): number => index?.(k, size, columns) ?? Math.floor(k / size);
    for (let r = 0; r < rows; r++) {
      pack(codes.slice(r * columns, (r + 1) * columns), bits).forEach((word, i) => (words[i * rows + r] = word));
      for (let k = 0; k < columns; k++) {
        const zero = zeros[place(k) * rows + r]! + (version === "gptq" ? 1 : 0);
        weights[r * columns + k] = codes[r * columns + k]! - zero;
        scaleOf[r * columns + k] = halfToNumber(scales[place(k) * rows + r]!);
      }
    }
    const int = (shapeOf: number[], values: Uint32Array | Int32Array): HfTensor => ({
      dtype: "I32",
      shape: shapeOf,
      bytes: Buffer.from(values.buffer),
    });
    tensors.set(`${base}.qweight`, int([(columns * bits) / 32, rows], words));
    tensors.set(`${base}.qzeros`, int([groups, (rows * bits) / 32], pack(zeros, bits)));
    tensors.set(`${base}.scales`, {
      dtype: "F16",
      shape: [groups, rows],
      bytes: Buffer.from(Uint16Array.from(scales).buffer),
    });
    tensors.set(
      `${base}.g_idx`,
      int(
        [columns],
        Int32Array.from({ length: columns }, (_, k) => place(k)),
      ),
    );
    const matrix: TernaryMatrix = {
      rows,
      columns,
      codes: weights,
      scale: NaN,
      groups: { columns: 1, scales: scaleOf },
    };
    Object.assign(reference.weights.layers[0]!, { [role]: matrix });
  }
  writeSafetensors(file, tensors);
  const configPath = join(folder, "config.json");
  const config = JSON.parse(readFileSync(configPath, "utf8")) as Record<string, unknown>;
  config.quantization_config = {
    quant_method: "gptq",
    bits,
    group_size: groupSize,
    desc_act: index !== undefined,
    sym: false,
    checkpoint_format: version,
  };
  writeFileSync(configPath, JSON.stringify(config));
  return [folder, reference];
}

/** Columns in groups as if ordered by activation: 7 shares no factor with the widths, so each group is filled. */
const byActivation = (k: number, size: number, columns: number): number => Math.floor(((k * 7 + 3) % columns) / size);

const kernels = loadAddon()
  .kernels()
  .filter(({ family, available }) => available && family.endsWith("group"));

test.each([
  ["2 bits", { bits: 2, groupSize: 64 }],
  ["3 bits", { bits: 3, groupSize: 32 }],
  ["4 bits", { bits: 4, groupSize: 128 }],
  ["4 bits, one group a row", { bits: 4, groupSize: -1 }],
  ["4 bits, zeros as they are (gptq_v2)", { bits: 4, groupSize: 32, version: "gptq_v2" }],
  ["3 bits, columns ordered by activation", { bits: 3, groupSize: 64, index: byActivation }],
  ["4 bits, columns ordered by activation", { bits: 4, groupSize: 32, index: byActivation }],
] as const)("%s", async (name, options) => {
  const [folder, reference] = write(name.replace(/\W+/g, "-"), options);
  const prompt = tieFreePrompt(reference, 4, uniform(5));
  const logits = async (kernel: string): Promise<[Float32Array, string]> => {
    const model = await Model.load(folder, { kvType: "f32", threads: 2, kernel });
    try {
      return [await model.evaluate(prompt.tokens), model.info.kernel];
    } finally {
      await model.close();
    }
  };
  const [expected] = await logits("scalar");
  const rows = rowsOf(expected, FOLDER_VOCABULARY);
  expect(Math.max(...rows.map((row, i) => maxDifference(row, prompt.logits[i]!)))).toBeLessThan(1e-3);
  // Every kernel for group scales, multiply-add and T-MAC's bit planes alike, gives those bits.
  expect(kernels.length).toBeGreaterThanOrEqual(2);
  for (const { name: kernel } of kernels) expect(await logits(kernel)).toEqual([expected, kernel]);
});

test("groups that are not all full are refused", async () => {
  const [folder] = write("short-group", { bits: 4, groupSize: 32, index: (k) => (k === 5 ? 1 : Math.floor(k / 32)) });
  await expect(Model.load(folder)).rejects.toBeInstanceOf(ModelFormatError);
  await expect(Model.load(folder)).rejects.toThrow(/g_idx.*into group 1/);
});

test("matrices of one input whose columns are ordered differently are refused", async () => {
  const [folder] = write("two-orders", { bits: 4, groupSize: 32, index: byActivation });
  const file = join(folder, "model.safetensors");
  const tensors = new Map<string, HfTensor>();
  for (const [name, { shape, bytes, format }] of readSafetensors(file)) {
    if (name.endsWith("k_proj.g_idx")) {
      for (let k = 0; k < bytes.length / 4; k++) bytes.writeInt32LE(Math.floor(k / 32), 4 * k);
    }
    tensors.set(name, { dtype: format, shape, bytes });
  }
  writeSafetensors(file, tensors);
  await expect(Model.load(folder)).rejects.toBeInstanceOf(UnsupportedModelError);
  await expect(Model.load(folder)).rejects.toThrow(/k_proj.*g_idx.*desc_act/);
});

test("a missing part is named", async () => {
  const [folder] = write("missing", { bits: 4, groupSize: 32 });
  const file = join(folder, "model.safetensors");
  const tensors = new Map<string, HfTensor>();
  for (const [name, { shape, bytes, format }] of readSafetensors(file)) {
    if (!name.endsWith("up_proj.qzeros")) tensors.set(name, { dtype: format, shape, bytes });
  }
  writeSafetensors(file, tensors);
  await expect(Model.load(folder)).rejects.toThrow(/up_proj\.qzeros" is missing/);
  await expect(Model.load(folder)).rejects.toBeInstanceOf(ModelFormatError);
});
