/** What happens at the end of the context: stop, error, or forgetting the older half behind a prefix. */
import { join } from "node:path";
import { ContextLengthError, InvalidOptionError, Model, type Chunk, type GenerationOptions } from "../../lib";
import { rowsOf } from "../helpers/compare";
import { temporaryFolder, TINY_VOCABULARY, writeTinyModel } from "../helpers/tiny_model";

const CONTEXT = 64;
const folder = temporaryFolder();
const path = join(folder, "tiny.gguf");
let model: Model;
beforeAll(async () => {
  writeTinyModel(path, { context: CONTEXT });
  model = await Model.load(path, { threads: 2 });
});
afterAll(() => model.close());

const GREEDY = { temperature: 0, ignoreEos: true } as const;
const PROMPT = [262, ...Array.from("Once upon a time", (letter) => letter.charCodeAt(0))];

/** Greedy tokens by the definition: the likeliest behind a context that is computed whole each time. */
async function expected(prompt: readonly number[], count: number, keep: number): Promise<number[]> {
  let context = [...prompt];
  const answer: number[] = [];
  while (answer.length < count) {
    const row = rowsOf(await model.evaluate(context), TINY_VOCABULARY).at(-1)!;
    let best = 0;
    row.forEach((logit, id) => {
      if (logit > row[best]!) best = id;
    });
    answer.push(best);
    context.push(best);
    if (context.length < CONTEXT) continue;
    const room = Math.floor((CONTEXT - keep) / 2);
    context = [...context.slice(0, keep), ...context.slice(-room)];
  }
  return answer;
}

async function textOf(stream: AsyncIterable<Chunk>): Promise<{ text: string; error?: unknown }> {
  let text = "";
  try {
    for await (const chunk of stream) text += chunk.text;
    return { text };
  } catch (error) {
    return { text, error };
  }
}

test("stops by default, and says so", async () => {
  const { finishReason, usage } = await model.generate(PROMPT, GREEDY);
  expect(finishReason).toBe("context");
  expect(usage.totalTokens).toBe(CONTEXT);
  expect(usage.droppedTokens).toBeUndefined();
});

test("fails where that was asked for, after what fits", async () => {
  const whole = await model.generate(PROMPT, GREEDY);
  const { text, error } = await textOf(model.stream(PROMPT, { ...GREEDY, overflow: "error" }));
  expect(error).toBeInstanceOf(ContextLengthError);
  expect(whole.text.startsWith(text)).toBe(true);
  expect(text.length).toBeGreaterThan(whole.text.length - 8);
  expect(model.stats().running).toBe(0);
});

test.each([undefined, 0, 10, 17])(
  "slides behind %p kept tokens, exactly as a new context would go on",
  async (keep) => {
    const options: GenerationOptions = { ...GREEDY, overflow: "slide", maxTokens: 150 };
    const { tokens, usage, finishReason } = await model.generate(PROMPT, {
      ...options,
      ...(keep === undefined ? {} : { keepTokens: keep }),
    });
    expect(tokens).toEqual(await expected(PROMPT, 150, keep ?? 4));
    expect(finishReason).toBe("length");
    const kept = keep ?? 4;
    const room = Math.floor((CONTEXT - kept) / 2);
    const each = CONTEXT - kept - room;
    // The first slide comes when the context is full, further ones whenever it is again.
    const slides = Math.floor((PROMPT.length + 150 - 1 - CONTEXT) / each) + 1;
    expect(usage.droppedTokens).toBe(slides * each);
  },
);

test("others do not notice, and it does not notice others", async () => {
  const options: GenerationOptions = { overflow: "slide", maxTokens: 120, ignoreEos: true };
  const alone: string[] = [];
  for (let seed = 0; seed < 6; seed++) alone.push((await model.generate(PROMPT, { ...options, seed })).text);
  const together = await Promise.all(
    Array.from({ length: 6 }, (_, seed) =>
      model.generate(PROMPT, { ...options, seed, ...(seed % 2 === 0 ? { speculation: "prompt-lookup" } : {}) }),
    ),
  );
  expect(together.map(({ text }) => text)).toEqual(alone);
});

test("a prompt that is too long is cut in the same way", async () => {
  const long = Array.from({ length: 100 }, (_, i) => (i * 7) % 256);
  const { tokens, usage } = await model.generate(long, { ...GREEDY, overflow: "slide", maxTokens: 5, keepTokens: 3 });
  const cut = [...long.slice(0, 3), ...long.slice(-Math.floor((CONTEXT - 1 - 3) / 2))];
  expect(usage).toMatchObject({ promptTokens: cut.length, droppedTokens: 100 - cut.length });
  expect(tokens).toEqual((await model.generate(cut, { ...GREEDY, maxTokens: 5 })).tokens);
  await expect(model.generate(long, { overflow: "error" })).rejects.toThrow(ContextLengthError);
});

test("more than half of the context cannot be kept", async () => {
  const options: GenerationOptions = { overflow: "slide", keepTokens: CONTEXT / 2 + 1 };
  await expect(model.generate(PROMPT, options)).rejects.toThrow(InvalidOptionError);
});

test("a conversation forgets its oldest turns, and keeps the system message", async () => {
  const larger = join(folder, "larger.gguf");
  writeTinyModel(larger, { context: 256 });
  await using chatty = await Model.load(larger, { threads: 2 });
  using chat = chatty.chat({ template: "story", system: "Be brief.", overflow: "slide", maxTokens: 20, ...GREEDY });
  let dropped = 0;
  let prompts = 0;
  for (let turn = 0; turn < 14; turn++) {
    const { usage } = await chat.ask(`Question number ${turn}?`);
    dropped += usage.droppedTokens ?? 0;
    expect(usage.promptTokens).toBeLessThanOrEqual(256 - 20);
    prompts = Math.max(prompts, usage.promptTokens);
  }
  expect(dropped).toBeGreaterThan(256);
  expect(prompts).toBeGreaterThan(200);
  expect(chat.messages).toHaveLength(29);
  // What the last answer was told: the system message and the newest turns.
  const told = chat.messages;
  const { text } = await chat.ask("And?");
  const candidates = Array.from({ length: 14 }, (_, i) => [told[0]!, ...told.slice(1 + 2 * i)]);
  const answers = await Promise.all(
    candidates.map(async (messages) => {
      const asked = [...messages, { role: "user" as const, content: "And?" }];
      return textOf(chatty.reply(asked, { template: "story", maxTokens: 20, ...GREEDY }));
    }),
  );
  expect(answers.map((each) => each.text)).toContain(text);
});
