/** Vectors of texts on a random model: the head's product with a hidden state must give the logits. */
import { join } from "node:path";
import { ContextLengthError, InvalidOptionError, Model } from "../../lib";
import { maxDifference, rowsOf } from "../helpers/compare";
import { temporaryFolder, TINY_VOCABULARY, writeTinyModel } from "../helpers/tiny_model";
import { readGguf } from "../reference/gguf";
import { decodeDense } from "../reference/weights";

const path = join(temporaryFolder(), "tiny.gguf");
const WIDTH = 128;
const TOKENS = [262, 72, 101, 108, 108, 111];
let model: Model;

beforeAll(async () => {
  writeTinyModel(path, { context: 64, metadata: { "bitnet-b1.58.pooling_type": { type: "u32", value: 3 } } });
  model = await Model.load(path, { threads: 2, kvType: "f32" });
});
afterAll(() => model.close());

const raw = { normalize: false };
const length = (vector: Float32Array): number => Math.hypot(...vector);

test("the last token's vector scores as the model does", async () => {
  const [vector] = await model.embed([TOKENS], raw);
  const embedding = decodeDense(readGguf(path).tensors.get("token_embd.weight")!);
  const logits = Array.from({ length: TINY_VOCABULARY }, (_, id) =>
    vector!.reduce((sum, value, i) => sum + value * embedding.values[id * WIDTH + i]!, 0),
  );
  const expected = rowsOf(await model.evaluate(TOKENS), TINY_VOCABULARY).at(-1)!;
  expect(maxDifference(logits, expected)).toBeLessThan(1e-4);
  expect(model.info.pooling).toBe("last");
});

test("the mean is that of all positions, the first that of the first", async () => {
  const prefixes = await model.embed(
    TOKENS.map((_, i) => TOKENS.slice(0, i + 1)),
    raw,
  );
  const [mean] = await model.embed([TOKENS], { ...raw, pooling: "mean" });
  const expected = Float32Array.from({ length: WIDTH }, (_, i) => {
    return prefixes.reduce((sum, vector) => sum + vector[i]!, 0) / prefixes.length;
  });
  expect(maxDifference(mean!, expected)).toBeLessThan(1e-6);
  const [first] = await model.embed([TOKENS], { ...raw, pooling: "first" });
  expect(first).toEqual(prefixes[0]);
});

test("normalised to length 1, cut to fewer dimensions before that", async () => {
  const [whole] = await model.embed("Once upon a time");
  expect(length(whole!)).toBeCloseTo(1, 6);
  const [short] = await model.embed("Once upon a time", { dimensions: 32 });
  expect(short).toHaveLength(32);
  expect(length(short!)).toBeCloseTo(1, 6);
  const ratio = short![0]! / whole![0]!;
  expect(
    maxDifference(
      short!,
      whole!.subarray(0, 32).map((value) => value * ratio),
    ),
  ).toBeLessThan(1e-6);
});

test("many texts keep their order and do not change each other", async () => {
  const texts = Array.from({ length: 30 }, (_, i) => `text ${i} ${"and ".repeat(i % 7)}`);
  const together = await model.embed(texts);
  const alone = await Promise.all(texts.map(async (text) => (await model.embed(text))[0]));
  expect(together).toEqual(alone);
  expect(await model.embed([])).toEqual([]);
});

test("long texts are refused, or cut when asked", async () => {
  const long = Array.from({ length: 65 }, (_, i) => 60 + (i % 9));
  await expect(model.embed([TOKENS, long])).rejects.toThrow(ContextLengthError);
  const [cut] = await model.embed([long], { truncate: true });
  expect([cut]).toEqual(await model.embed([long.slice(0, 64)]));
});

test("options and texts are checked", async () => {
  await expect(model.embed("a", { dimensions: WIDTH + 1 })).rejects.toThrow(/"dimensions" is 129/);
  await expect(model.embed([[]])).rejects.toThrow(/text 0 has no tokens/);
  const numbers: unknown = ["a", 5];
  await expect(model.embed(numbers as string[])).rejects.toThrow(InvalidOptionError);
  await expect(model.embed([[9999]])).rejects.toThrow(InvalidOptionError);
  const view: unknown = new DataView(new ArrayBuffer(8));
  await expect(model.embed([view as number[]])).rejects.toThrow(/text 0 must be a string or a list of token ids/);
  await expect(model.embed("a", { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
});
