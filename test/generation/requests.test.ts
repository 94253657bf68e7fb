import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import {
  AbortError,
  InvalidOptionError,
  Model,
  QueueFullError,
  type GenerationMessage,
  type GenerationOptions,
  type TokenLogprobs,
} from "../../lib";
import { logSoftmax, resolveSamplingOptions } from "../../lib/sampling";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";
import { referenceDistribution } from "../sampling/reference";

jest.setTimeout(60_000);

const folder = temporaryFolder();
const PROMPT = "Once upon a time";
let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

describe("log-probabilities", () => {
  test.each<GenerationOptions>([
    { temperature: 0 },
    { seed: 1 },
    { seed: 2, temperature: 1.5, topK: 0, topP: 1, minP: 0 },
    { seed: 3, topK: 0, topP: 0.9, repetitionPenalty: 1.2 },
    { seed: 4, topNSigma: 2 },
    { seed: 5, temperature: 2, topK: 0, topP: 1, minP: 0, logitBias: { 65: 12, 300: -Infinity } },
    { seed: 6, topK: 0, typicalP: 0.5, samplers: ["temperature", "typicalP"] },
  ])("before and after sampling are those of the definitions for %j", async (options) => {
    const prompt = [...(await model.tokenizer.encode(PROMPT))];
    const result = await model.generate(PROMPT, { ...options, logprobs: 3, maxTokens: 12 });
    const { tokens, logprobs = [] } = result;
    expect(logprobs.map(({ token }) => token)).toEqual(tokens);
    const { vocabularySize } = model.info;
    const logits = await model.evaluate([...prompt, ...tokens.slice(0, -1)]);
    for (const [i, scored] of logprobs.entries()) {
      const row = logits.subarray((prompt.length - 1 + i) * vocabularySize, (prompt.length + i) * vocabularySize);
      const before = logSoftmax(row);
      const after = referenceDistribution(row, resolveSamplingOptions(options), {
        prompt,
        generated: tokens.slice(0, i),
      });
      const chances = new Map(after.map(({ id, probability }) => [id, probability]));
      const best = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, 3);
      expect(scored.top.map(({ token }) => token)).toEqual(best);
      expect(scored.sampledTop.map(({ token }) => token)).toEqual(after.slice(0, 3).map(({ id }) => id));
      for (const { token, logprob, sampledLogprob } of [scored, ...scored.top, ...scored.sampledTop]) {
        expect(logprob).toBeCloseTo(before[token]!, 4);
        const chance = chances.get(token);
        if (chance === undefined) expect(sampledLogprob).toBe(-Infinity);
        else expect(sampledLogprob).toBeCloseTo(Math.log(chance), 4);
      }
    }
    // A stream says the same.
    const streamed: TokenLogprobs[] = [];
    for await (const chunk of model.stream(PROMPT, { ...options, logprobs: 3, maxTokens: 12 })) {
      streamed.push(...(chunk.logprobs ?? []));
    }
    expect(streamed).toEqual(logprobs);
  });

  test("of a text in a form say which tokens the form left out", async () => {
    const format = { type: "regex", pattern: "[0-9]{4}" } as const;
    const { logprobs = [] } = await model.generate(PROMPT, { format, seed: 3, logprobs: 5, topK: 0, topP: 1, minP: 0 });
    for (const { token, top, sampledLogprob, sampledTop } of logprobs) {
      expect(sampledLogprob).toBeGreaterThan(-Infinity);
      for (const each of sampledTop) expect(model.tokenizer.decode([each.token])).toMatch(/^[0-9]+$/);
      for (const each of top) {
        const fits = /^[0-9]+$/.test(model.tokenizer.decode([each.token]));
        if (!fits) expect(each.sampledLogprob).toBe(-Infinity);
      }
      expect(sampledTop.some((each) => each.token === token) || sampledTop.length === 5).toBe(true);
    }
  });

  test("come with each chunk's tokens, and only when they were asked for", async () => {
    for await (const { tokens, logprobs } of model.stream(PROMPT, { seed: 1, maxTokens: 8, logprobs: 0 })) {
      expect(logprobs?.map(({ token }) => token)).toEqual(tokens);
      for (const { top, sampledTop } of logprobs ?? []) expect([top, sampledTop]).toEqual([[], []]);
    }
    expect(await model.generate(PROMPT, { maxTokens: 2 })).not.toHaveProperty("logprobs");
  });
});

describe("score", () => {
  test("of a continuation is the sum over its tokens, each after all before", async () => {
    const prompt = await model.tokenizer.encode(PROMPT);
    const after = await model.tokenizer.encode(" there was a fox", { addSpecial: false });
    const whole = await model.score([...prompt, ...after]);
    const { logprob, tokens } = await model.score(PROMPT, " there was a fox");
    expect(tokens.map(({ token }) => token)).toEqual([...after]);
    expect(tokens.map((each) => each.logprob)).toEqual([...whole.subarray(prompt.length - 1)]);
    expect(logprob).toBeCloseTo(
      whole.subarray(prompt.length - 1).reduce((a, b) => a + b, 0),
      9,
    );
    await expect(model.score(PROMPT, "")).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(model.score(PROMPT as unknown as number[])).rejects.toThrow(/continuation/);
  });
});

describe("several texts of one prompt", () => {
  test("are what each says alone, and share the prompt's cache", async () => {
    const prompt = "The fox and the hen went to the market. ".repeat(8);
    const texts = await model.generateSamples(prompt, 4, { seed: 40, maxTokens: 15 });
    for (const [i, text] of texts.entries()) {
      const alone = await model.generate(prompt, { seed: 40 + i, maxTokens: 15 });
      expect(text.tokens).toEqual(alone.tokens);
      if (i > 0) expect(text.usage.cachedTokens).toBe(text.usage.promptTokens - 1);
    }
    await expect(model.generateSamples(prompt, 0)).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(model.generateSamples("x".repeat(9000), 2)).rejects.toMatchObject({ code: "ERR_CONTEXT_LENGTH" });
  });
});

describe("the prefix cache", () => {
  test("changes nothing but the time, and can be emptied", async () => {
    const own = await Model.load(undefined, { prefixCache: false });
    const story = "Once there was a king who had three sons, and the youngest was called Dummling. ".repeat(5);
    for (const [i, end] of ["He", "The king said", "He", "One day the"].entries()) {
      const options = { seed: i, maxTokens: 30, logprobs: 2 };
      const [cached, plain] = [await model.generate(story + end, options), await own.generate(story + end, options)];
      expect(cached.tokens).toEqual(plain.tokens);
      // To the bit: log-probabilities are numbers that show any difference.
      expect(cached.logprobs).toEqual(plain.logprobs);
      expect(plain.usage.cachedTokens).toBe(0);
      if (i > 0) expect(cached.usage.cachedTokens).toBeGreaterThan(64);
    }
    model.clearPrefixCache();
    const { free, total, cached } = model.stats().kvBlocks;
    expect([free, cached]).toEqual([total, 0]);
    await own.close();
  });
});

describe("limits", () => {
  test("a text that takes too long is given up", async () => {
    const endless = { ignoreEos: true, timeout: 20 };
    const texts = Array.from({ length: 40 }, (_, i) => model.generate(`${PROMPT} ${i}`, endless));
    const outcomes = await Promise.allSettled(texts);
    const reasons = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason as AbortError] : []));
    expect(reasons.length).toBeGreaterThan(0);
    for (const reason of reasons) {
      expect(reason).toBeInstanceOf(AbortError);
      expect(reason.message).toMatch(/timeout of 20 ms/);
      expect(reason.cause).toMatchObject({ name: "TimeoutError" });
    }
  });

  test("vectors, scores and logits wait for a text under way, unless they matter more", async () => {
    await using own = await Model.load(undefined, { maxConcurrent: 1 });
    const works: Record<string, (options: { priority: number }) => Promise<unknown>> = {
      embed: (options) => own.embed(PROMPT, options),
      evaluate: (options) => own.evaluate([1, 2, 3], options),
      "score of tokens": (options) => own.score([1, 2, 3], options),
      "score of a continuation": (options) => own.score("Once", " upon", options),
    };
    for (const [name, work] of Object.entries(works)) {
      for (const priority of [0, 1]) {
        const ended: string[] = [];
        let other: Promise<unknown> | undefined;
        for await (const { tokens } of own.stream(PROMPT, { maxTokens: 100, ignoreEos: true, seed: 1 })) {
          if (tokens.length > 0) other ??= work({ priority }).then(() => ended.push(name));
        }
        ended.push("text");
        await other;
        expect(ended).toEqual(priority > 0 ? [name, "text"] : ["text", name]);
      }
    }
  });

  test("10,000 requests at once: what the queue does not hold fails at once, nothing is left behind", async () => {
    const path = join(folder, "tiny.gguf");
    writeTinyModel(path);
    const own = await Model.load(path, { maxQueue: 50, maxConcurrent: 4 });
    const texts = Array.from({ length: 10_000 }, () => own.generate([65], { maxTokens: 1, seed: 1 }));
    const outcomes = await Promise.allSettled(texts);
    const failed = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason as Error] : []));
    expect(outcomes.length - failed.length).toBeGreaterThanOrEqual(54);
    for (const error of failed) expect(error).toBeInstanceOf(QueueFullError);
    own.clearPrefixCache();
    const { running, waiting, kvBlocks } = own.stats();
    expect({ running, waiting, free: kvBlocks.free }).toEqual({ running: 0, waiting: 0, free: kvBlocks.total });
    await own.close();
  });
});

test("a subscriber of node-bitnet:generation hears of every text", async () => {
  const messages: GenerationMessage[] = [];
  const listen = (message: unknown): void => void messages.push(message as GenerationMessage);
  subscribe("node-bitnet:generation", listen);
  const { usage, timings } = await model.generate(PROMPT, { maxTokens: 3, temperature: 0 });
  unsubscribe("node-bitnet:generation", listen);
  const expected = { operation: "model.generate", model: model.info.path, finishReason: "length", usage, timings };
  expect(messages).toEqual([expected]);
});
