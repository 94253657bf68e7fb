import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../lib/architectures";
import { InvalidOptionError } from "../../lib/errors";
import { readGguf, readTokenizerInfo } from "../../lib/files/gguf";
import { generateSynthetic } from "../../bench/synthetic/generate";
import { normalQuantile } from "../../bench/synthetic/random";
import { PRESETS, type Shape } from "../../bench/synthetic/shapes";
import { temporaryFolder } from "../helpers/tiny_model";
import { attend, project, quantise, rmsNorm, rope, type DecoderWeights } from "../reference/decoder";
import { loadReference } from "../reference/model";

const folder = temporaryFolder();
let files = 0;
const tiny = PRESETS.tiny!;

async function generate(options: { shape?: Partial<Shape>; deadGates?: number; seed?: number } = {}): Promise<string> {
  const path = join(folder, `${files++}.gguf`);
  const { deadGates = 0.5, seed = 1 } = options;
  await generateSynthetic(path, { shape: { ...tiny, ...options.shape }, deadGates, seed, name: "test" });
  return path;
}

/** Share of gates <= 0 per layer over a run of tokens, in double precision with int8 activations. */
function deadShares(weights: DecoderWeights, tokens: readonly number[]): number[] {
  const { epsilon, headDim, headCountKv, ropeTheta } = weights;
  const { columns, values } = weights.embedding;
  const dead = weights.layers.map(() => 0);
  const caches = weights.layers.map(() => ({ keys: [] as Float64Array[], values: [] as Float64Array[] }));
  tokens.forEach((token, position) => {
    let hidden: Float64Array = values.slice(token * columns, (token + 1) * columns);
    const add = (x: Float64Array): Float64Array => hidden.map((value, i) => value + x[i]!);
    weights.layers.forEach((layer, l) => {
      const input = quantise(rmsNorm(hidden, layer.attentionNorm, epsilon));
      caches[l]!.keys.push(rope(project(layer.key, input), headDim, position, ropeTheta));
      caches[l]!.values.push(project(layer.value, input));
      const query = rope(project(layer.query, input), headDim, position, ropeTheta);
      const mixed = rmsNorm(attend(query, caches[l]!, headCountKv, headDim), layer.attentionSubNorm!, epsilon);
      hidden = add(project(layer.attentionOutput, quantise(mixed)));
      const ffn = quantise(rmsNorm(hidden, layer.ffnNorm, epsilon));
      const gate = project(layer.gate, ffn);
      const up = project(layer.up, ffn);
      dead[l]! += gate.filter((value) => value <= 0).length / gate.length;
      const gated = rmsNorm(
        gate.map((value, i) => Math.max(value, 0) ** 2 * up[i]!),
        layer.ffnSubNorm!,
        epsilon,
      );
      hidden = add(project(layer.down, quantise(gated)));
      if (!hidden.every(Number.isFinite)) throw new Error(`layer ${l} overflowed`);
    });
  });
  return dead.map((sum) => sum / tokens.length);
}

test.each([0.5, 0.8, 0.95, 0.2])("a share of %f dead gates, in every layer", async (share) => {
  const path = await generate({ deadGates: share, shape: { layers: 4, width: 384, heads: 6, ffn: 1024 } });
  const tokens = Array.from({ length: 12 }, (_, i) => (i * 73) % 1000);
  for (const found of deadShares(loadReference(path).weights, tokens))
    expect(Math.abs(found - share)).toBeLessThan(0.03);
});

test("the model is one the engine describes, without invalid codes", async () => {
  const path = await generate({ deadGates: 0.8 });
  const file = await readGguf(path);
  expect(describeModel(file)).toMatchObject({
    layerCount: 3,
    embeddingLength: 256,
    ffnLength: 768,
    activation: "relu2",
  });
  const bytes = readFileSync(path);
  const counts = [0, 0, 0, 0];
  for (const { format, offset, byteLength } of file.tensors) {
    if (format !== "i2_s") continue;
    for (const byte of bytes.subarray(offset, offset + byteLength - 32)) {
      for (let shift = 0; shift < 8; shift += 2) counts[(byte >> shift) & 3]!++;
    }
  }
  expect(counts[3]).toBe(0);
});

test("ternaries are uniform where nothing is set", async () => {
  const file = loadReference(await generate()).weights;
  const { codes } = file.layers[1]!.gate;
  for (const code of [-1, 0, 1]) {
    const share = [...codes].filter((found) => found === code).length / codes.length;
    expect(Math.abs(share - 1 / 3)).toBeLessThan(0.005);
  }
});

test("same seed, same bytes; another seed, others", async () => {
  const [a, b, c] = await Promise.all([generate({ seed: 3 }), generate({ seed: 3 }), generate({ seed: 4 })]);
  expect(readFileSync(a).equals(readFileSync(b))).toBe(true);
  const last = (path: string): Buffer => readFileSync(path).subarray(-200_000);
  expect(last(a).equals(last(c))).toBe(false);
});

test.each([260, 1024, 32002])(
  "a vocabulary of %i tokens: unique, and every merge makes a token of two tokens",
  async (size) => {
    const { tokens, merges, tokenTypes, bosId, eosId } = readTokenizerInfo(
      await readGguf(await generate({ shape: { vocabulary: size, layers: 1 } })),
    );
    const set = new Set(tokens);
    expect(set.size).toBe(size);
    const made = new Set<string>();
    for (const merge of merges!) {
      const [left = "", right = "", ...rest] = merge.split(" ");
      if (rest.length > 0 || !set.has(left) || !set.has(right) || !set.has(left + right)) throw new Error(merge);
      made.add(left + right);
    }
    expect(new Set(merges).size).toBe(merges!.length);
    expect(made.size).toBe(size - 256 - 2);
    expect([tokenTypes[bosId!], tokenTypes[eosId!]]).toEqual([3, 3]);
  },
);

test("a head of its own and SiLU", async () => {
  const file = await readGguf(await generate({ shape: { tiedHead: false, activation: "silu" } }));
  expect(describeModel(file)).toMatchObject({
    activation: "silu",
    output: { format: "f16", rows: 1024, columns: 256 },
  });
});

test.each<[string, { shape?: Partial<Shape>; deadGates?: number }]>([
  ["heads that don't divide", { shape: { heads: 5 } }],
  ["a share of 1", { deadGates: 1 }],
  ["dead SiLU gates", { shape: { activation: "silu" }, deadGates: 0.8 }],
  ["a vocabulary without room for bytes", { shape: { vocabulary: 200 } }],
  ["no layers", { shape: { layers: 0 } }],
])("%s is refused", async (_, options) => {
  await expect(generate(options)).rejects.toThrow(InvalidOptionError);
});

test("the normal quantile", () => {
  // Standard tables.
  expect(normalQuantile(0.5)).toBeCloseTo(0, 8);
  expect(normalQuantile(0.8)).toBeCloseTo(0.8416212336, 7);
  expect(normalQuantile(0.975)).toBeCloseTo(1.9599639845, 7);
  expect(normalQuantile(0.001)).toBeCloseTo(-3.0902323062, 7);
});
