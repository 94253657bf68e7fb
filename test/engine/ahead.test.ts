/** Passes that the engine begins by itself while the last token is sampled and delivered: nobody can tell but by the time. */
import type { ForwardBatch, NativeContext } from "../../types/addon";
import type { GenerationOptions } from "../../lib";
import { ChatSession } from "../../lib/chat";
import { loadEngine, type Engine } from "../../lib/engine";
import { collectText, streamText } from "../../lib/generation";

jest.setTimeout(120_000);

let engine: Engine;
let plain: Engine;
beforeAll(async () => {
  engine = await loadEngine(undefined, { prefixCache: false, contextLength: 256 });
  plain = await loadEngine(undefined, { prefixCache: false, contextLength: 256 });
  const context = contextOf(plain);
  const forward = context.forward.bind(context);
  const unguessed = ({ guess: _, guessEnds: __, ...batch }: ForwardBatch): ReturnType<typeof forward> => forward(batch);
  Object.defineProperty(context, "forward", { value: unguessed });
});
afterAll(() => Promise.all([engine.close(), plain.close()]));

function contextOf(of: Engine): NativeContext {
  return (of as unknown as { parts: { context: NativeContext } }).parts.context;
}

function generate(of: Engine, options: GenerationOptions, prompt = "Once upon a time"): ReturnType<typeof collectText> {
  return collectText(streamText("test", of, prompt, { maxTokens: 100, seed: 3, ...options }));
}

/** Passes begun and taken over while `work` is done. */
async function aheadOf(work: () => Promise<unknown>): Promise<{ begun: number; taken: number }> {
  const before = contextOf(engine).statistics;
  await work();
  const after = contextOf(engine).statistics;
  return { begun: after.begunAhead - before.begunAhead, taken: after.takenAhead - before.takenAhead };
}

test.each<GenerationOptions>([
  {},
  { temperature: 0 },
  { temperature: 1.7, topK: 7 },
  { topP: 0.5, minP: 0 },
  { samplers: ["topK", "temperature", "minP", "topP"] },
  { ignoreEos: true, maxTokens: 150 },
])("samplers that the engine knows: %j", async (options) => {
  let tokens = 0;
  const ahead = await aheadOf(async () => {
    for (const prompt of ["Once upon a time", "The", "In a wood lived a"]) {
      const { timings: _, ...text } = await generate(engine, options, prompt);
      const { timings: __, ...expected } = await generate(plain, options, prompt);
      expect(text).toEqual(expected);
      tokens += text.usage.completionTokens;
    }
  });
  // All but one of 32 tokens, whose place is in a new block, the first of the texts, and the odd one that rounding decides.
  expect(ahead.taken).toBeGreaterThan(0.9 * tokens);
  expect(ahead.begun - ahead.taken).toBeLessThan(4);
});

test.each<GenerationOptions>([
  { topK: 0 },
  { repetitionPenalty: 1.2 },
  { logitBias: { 300: 5 } },
  { xtcProbability: 0.5 },
  { logprobs: 3 },
  { speculation: "prompt-lookup" },
  { format: { type: "regex", pattern: "[a-z ]{80}" } },
])("texts whose next token takes more to tell: %j", async (options) => {
  const { begun } = await aheadOf(async () => {
    expect((await generate(engine, options)).tokens).toEqual((await generate(plain, options)).tokens);
  });
  expect(begun).toBe(0);
});

test.each<GenerationOptions>([
  { stop: "e" },
  { stop: [" the", "and"], ignoreEos: true },
  { stopTokens: Array.from({ length: 100 }, (_, i) => 400 - i) },
  { overflow: "slide", ignoreEos: true, maxTokens: 400 },
])("a text that ends or slides elsewhere than guessed: %j", async (options) => {
  for (let seed = 0; seed < 6; seed++) {
    const { timings: _, ...text } = await generate(engine, { ...options, seed });
    const { timings: __, ...expected } = await generate(plain, { ...options, seed });
    expect(text).toEqual(expected);
  }
});

test.each<[string, GenerationOptions]>([
  ["length", { ignoreEos: true, maxTokens: 40 }],
  ["stop", { stopTokens: Array.from({ length: 60 }, (_, i) => 300 + i), maxTokens: 200 }],
  ["context", { ignoreEos: true, maxTokens: 1000 }],
])("behind an end that can be known beforehand no pass begins: %s", async (reason, options) => {
  for (let seed = 0; seed < 4; seed++) {
    const { begun, taken } = await aheadOf(async () => {
      expect((await generate(engine, { ...options, seed })).finishReason).toBe(reason);
    });
    expect(begun).toBeGreaterThan(0);
    expect(taken).toBe(begun);
  }
});

test("a pass that was begun behind a stop string ends with the text, though the sequence is kept", async () => {
  const context = contextOf(engine);
  const truncate = jest.fn(context.truncateSequence.bind(context));
  Object.defineProperty(context, "truncateSequence", { value: truncate, configurable: true });
  const chat = new ChatSession(engine, { template: "story" });
  const { begun, taken } = await aheadOf(async () => {
    expect((await chat.ask("Once upon a time", { stop: " and", seed: 1 })).finishReason).toBe("stop_string");
  });
  expect(begun - taken).toBe(1);
  expect(truncate).toHaveBeenCalledTimes(1);
  Reflect.deleteProperty(context, "truncateSequence");
  chat.close();
});

test("texts beside each other, readers that leave or are slow", async () => {
  const texts = (of: Engine): Promise<number[][]> =>
    Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const stream = streamText("test", of, "The cat", { maxTokens: 80, seed: i, ignoreEos: true });
        const tokens: number[] = [];
        for await (const chunk of stream) {
          tokens.push(...chunk.tokens);
          if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve, i / 2));
          if (i > 3 && tokens.length > 10 * i) return [];
        }
        return tokens;
      }),
    );
  expect(await texts(engine)).toEqual(await texts(plain));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(contextOf(engine).freeBlocks).toBe(contextOf(engine).totalBlocks);
});
