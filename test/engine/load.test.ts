import { join } from "node:path";
import { AbortError, FileError, InvalidOptionError, Model, OutOfMemoryError, type ModelOptions } from "../../lib";
import { loadAddon } from "../../lib/addon";
import { temporaryFolder, TINY_VOCABULARY, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();
const path = join(folder, "tiny.gguf");
beforeAll(() => writeTinyModel(path));

/** Logits of a few positions of the tiny model, as loaded with options. */
async function logitsWith(options: ModelOptions): Promise<Float32Array> {
  await using model = await Model.load(path, options);
  return await model.evaluate(Array.from({ length: 70 }, (_, i) => (i * 31) % TINY_VOCABULARY));
}

describe("Model.load", () => {
  test("tells what was loaded", async () => {
    await using model = await Model.load(path, { threads: 2, kvType: "f32", contextLength: 100 });
    expect(model.info).toMatchObject({
      path,
      name: "tiny random test model",
      architecture: "bitnet-b1.58",
      contextLength: 100,
      modelContextLength: 256,
      vocabularySize: TINY_VOCABULARY,
      embeddingLength: 128,
      layerCount: 2,
      threads: 2,
      kvType: "f32",
    });
  });

  test("every kernel, thread count and step size gives the same bits", async () => {
    const expected = await logitsWith({ kernel: "scalar", threads: 1 });
    expect(expected.some((logit) => logit !== 0)).toBe(true);
    const kernels = loadAddon()
      .kernels()
      .filter(({ available }) => available);
    for (const options of [
      ...kernels.map(({ name }) => ({ kernel: name })),
      { threads: 3 },
      { maxBatchTokens: 7 },
      { maxBatchTokens: 1 },
    ]) {
      expect(Buffer.compare(Buffer.from((await logitsWith(options)).buffer), Buffer.from(expected.buffer))).toBe(0);
    }
  });

  test("long contexts give the same bits with every number of threads", async () => {
    const run = async (threads: number, kvType: "f16" | "int8"): Promise<unknown> => {
      await using model = await Model.load(path, { threads, kvType, kernel: "scalar" });
      const prompt = Array.from({ length: 120 }, (_, i) => (i * 31) % TINY_VOCABULARY);
      const { tokens, logprobs } = await model.generate(prompt, {
        maxTokens: 60,
        temperature: 0,
        logprobs: 3,
        ignoreEos: true,
      });
      return { tokens, logprobs };
    };
    for (const kvType of ["f16", "int8"] as const) {
      const expected = await run(1, kvType);
      for (const threads of [2, 3, 5]) expect(await run(threads, kvType)).toEqual(expected);
    }
  });

  test.each<[string, unknown, RegExp]>([
    ["a misspelt option", { thread: 2 }, /unknown option "thread".*"threads"/],
    ["no threads", { threads: 0 }, /"threads"/],
    ["a longer context than the model's", { contextLength: 257 }, /at most 256/],
    ["a chunk larger than a step", { maxBatchTokens: 16, prefillChunk: 17 }, /"prefillChunk" is 17/],
    ["an unknown precision", { kvType: "f8" }, /"kvType".*"f32", "f16"/],
    ["a size that is none", { memoryLimit: "much" }, /"memoryLimit".*512MB/],
  ])("refuses %s", async (_, options, message) => {
    const result = Model.load(path, options as ModelOptions);
    await expect(result).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(result).rejects.toThrow(message);
  });

  test("refuses a kernel that there is not", async () => {
    await expect(Model.load(path, { kernel: "abacus" })).rejects.toMatchObject({ code: "ERR_KERNEL" });
  });

  test("refuses what is no file", async () => {
    await expect(Model.load(join(folder, "absent.gguf"))).rejects.toBeInstanceOf(FileError);
    await expect(Model.load(folder)).rejects.toThrow(/config\.json/);
    await expect(Model.load("")).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(Model.load(7 as unknown as string)).rejects.toBeInstanceOf(InvalidOptionError);
  });

  test("says what would fit when the memory limit does not suffice", async () => {
    const result = Model.load(path, { memoryLimit: "1MB", contextLength: 256 });
    await expect(result).rejects.toBeInstanceOf(OutOfMemoryError);
    await expect(result).rejects.toThrow(/memoryLimit of at least \d+MB/);
    await using model = await Model.load(path, { memoryLimit: "100MB" });
    expect(model.info.contextLength).toBe(256);
  });

  test("is aborted before and during", async () => {
    await expect(Model.load(path, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AbortError);
    const controller = new AbortController();
    const loading = Model.load(undefined, { signal: controller.signal });
    controller.abort(new Error("no more"));
    await expect(loading).rejects.toMatchObject({ code: "ERR_ABORTED", cause: new Error("no more") });
  });

  test("reports progress that rises to 1", async () => {
    const shares: number[] = [];
    await using _model = await Model.load(undefined, { onProgress: (share) => shares.push(share) });
    expect(shares.length).toBeGreaterThan(0);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
    expect(shares.at(-1)).toBe(1);
  });
});

describe("evaluate and score", () => {
  test("score is the log-softmax of evaluate's logits", async () => {
    await using model = await Model.load(path);
    const tokens = [262, 5, 100, 7, 200, 31];
    const logits = await model.evaluate(tokens);
    const scores = await model.score(tokens);
    expect(scores).toHaveLength(tokens.length - 1);
    for (const [i, score] of scores.entries()) {
      const row = [...logits.subarray(i * TINY_VOCABULARY, (i + 1) * TINY_VOCABULARY)];
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      expect(score).toBeCloseTo(row[tokens[i + 1]!]! - Math.log(sum), 4);
    }
  });

  test("take nothing, and refuse too much and what is no id", async () => {
    await using model = await Model.load(path);
    expect(await model.evaluate([])).toHaveLength(0);
    expect(await model.score([1])).toHaveLength(0);
    await expect(model.evaluate(Array<number>(257).fill(1))).rejects.toMatchObject({ code: "ERR_CONTEXT_LENGTH" });
    await expect(model.evaluate([TINY_VOCABULARY])).rejects.toThrow(
      /token 0 must be an integer from 0 to 263, not 264/,
    );
    await expect(model.evaluate([1], { signl: 1 } as object)).rejects.toThrow(/"signal"/);
  });
});
