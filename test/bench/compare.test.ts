/** Divergence and agreement of two models. */
import { join } from "node:path";
import { InvalidOptionError, Model } from "../../lib";
import { compareModels, compareRows } from "../../lib/benchmark/compare";
import { measurePerplexity } from "../../lib/benchmark";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

// A busy machine is slow.
jest.setTimeout(60_000);

const folder = temporaryFolder();
const TEXT = "the cat and the dog in the rain";

async function load(seed: number): Promise<Model> {
  const path = join(folder, `${seed}.gguf`);
  writeTinyModel(path, { seed });
  return Model.load(path, { threads: 1, kvType: "f32" });
}

test("a worked example", () => {
  // p = (1/4, 3/4), q = (1/2, 1/2): KL = 1/4 log(1/2) + 3/4 log(3/2).
  const p = Float32Array.of(0, Math.log(3));
  const expected = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);
  expect(compareRows(p, Float32Array.of(7, 7)).divergence).toBeCloseTo(expected, 6);
  // Adding a constant to logits changes nothing; equal rows agree and do not diverge.
  const same = compareRows(
    p,
    p.map((value) => value - 5),
  );
  expect(same.divergence).toBeCloseTo(0, 6);
  expect(same.agree).toBe(true);
  expect(compareRows(p, Float32Array.of(1, 0)).agree).toBe(false);
});

test("a model agrees with itself under other kernels, and not with another one", async () => {
  const [a, b] = [await load(1), await load(2)];
  const scalar = await Model.load(a.info.path, { threads: 1, kvType: "f32", kernel: "scalar" });
  try {
    expect(await compareModels(a, scalar, TEXT)).toMatchObject({ agreement: 1 });
    expect((await compareModels(a, scalar, TEXT, { window: 5 })).divergence).toBeLessThan(1e-7);
    const other = await compareModels(a, b, TEXT);
    expect(other.divergence).toBeGreaterThan(0.01);
    expect(other.agreement).toBeLessThan(1);
    await expect(compareModels(a, b, "")).rejects.toThrow(InvalidOptionError);
    await expect(compareModels(a, b, TEXT, { window: 1 })).rejects.toThrow(/window/);
  } finally {
    for (const model of [a, b, scalar]) await model.close();
  }
});

test("the standard error of the perplexity follows the tokens' spread", async () => {
  const model = await load(1);
  try {
    const { perplexity, standardError, tokens } = await measurePerplexity(model, TEXT);
    const ids = await model.tokenizer.encode(TEXT, { addSpecial: false });
    const losses = [...(await model.score([model.tokenizer.bosId!, ...ids]))].map((score) => -score);
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / tokens;
    const spread = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / tokens;
    expect(standardError).toBeCloseTo(perplexity * Math.sqrt(spread / tokens), 6);
  } finally {
    await model.close();
  }
});

test("overlapping windows score every token once, with the context that the stride leaves", async () => {
  const model = await load(1);
  try {
    const { bosId, tokenizer } = { bosId: model.tokenizer.bosId!, tokenizer: model.tokenizer };
    const ids = [...(await tokenizer.encode(TEXT, { addSpecial: false }))];
    const [window, stride] = [8, 3];
    // By definition: token i is scored in the first window that holds it.
    const losses: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      let start = 0;
      while (start + window - 1 <= i) start += stride;
      losses.push(-(await model.score([bosId, ...ids.slice(start, i + 1)])).at(-1)!);
    }
    const result = await measurePerplexity(model, TEXT, { window, stride });
    expect(result.tokens).toBe(ids.length);
    expect(result.nll).toBeCloseTo(losses.reduce((sum, loss) => sum + loss, 0) / ids.length, 9);
    const apart = await measurePerplexity(model, TEXT, { window });
    expect(apart).toEqual(await measurePerplexity(model, TEXT, { window, stride: window - 1 }));
    expect(apart.nll).not.toBeCloseTo(result.nll, 5);
    await expect(measurePerplexity(model, TEXT, { window, stride: window })).rejects.toThrow(/stride.*1 to 7/);
    await expect(measurePerplexity(model, TEXT, { window, stride: 0 })).rejects.toThrow(InvalidOptionError);
  } finally {
    await model.close();
  }
});
