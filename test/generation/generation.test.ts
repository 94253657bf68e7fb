import { join } from "node:path";
import {
  AbortError,
  ClosedError,
  ContextLengthError,
  InvalidOptionError,
  Model,
  type Chunk,
  type GenerationOptions,
} from "../../lib";
import { temporaryFolder, TINY_EOS, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();
const tinyPath = join(folder, "tiny.gguf");

let model: Model;
let tiny: Model;
beforeAll(async () => {
  writeTinyModel(tinyPath);
  [model, tiny] = await Promise.all([Model.load(), Model.load(tinyPath)]);
});
afterAll(async () => {
  await Promise.all([model.close(), tiny.close()]);
});

const PROMPT = "Once upon a time";

async function read(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("stream and generate", () => {
  test.each<GenerationOptions>([
    { temperature: 0, maxTokens: 40 },
    { seed: 7, maxTokens: 40 },
    { seed: 7, maxTokens: 40, temperature: 1.5, topK: 0, topP: 1, minP: 0 },
    { seed: 7, maxTokens: 40, repetitionPenalty: 1.3, frequencyPenalty: 0.5, logitBias: { 269: -5 } },
  ])("give the same text for %j", async (options) => {
    const chunks = await read(model.stream(PROMPT, options));
    const whole = await model.generate(PROMPT, options);
    expect(chunks.map(({ text }) => text).join("")).toBe(whole.text);
    expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);
    expect(model.tokenizer.decode(whole.tokens)).toBe(whole.text);
    expect(chunks.at(-1)).toMatchObject({ finishReason: "length", usage: whole.usage });
    expect(chunks.slice(0, -1).every((chunk) => chunk.text !== "" && chunk.finishReason === undefined)).toBe(true);
    expect(whole.usage).toEqual({ promptTokens: 5, completionTokens: 40, totalTokens: 45, cachedTokens: 0 });
  });

  test("greedy tokens are the arg-max of the logits", async () => {
    const prompt = [...(await model.tokenizer.encode(PROMPT))];
    const { tokens } = await model.generate(PROMPT, { temperature: 0, maxTokens: 20 });
    const { vocabularySize } = model.info;
    const logits = await model.evaluate([...prompt, ...tokens.slice(0, -1)]);
    const best = tokens.map((_, i) => {
      const row = logits.subarray((prompt.length - 1 + i) * vocabularySize, (prompt.length + i) * vocabularySize);
      return row.indexOf(Math.max(...row));
    });
    expect(tokens).toEqual(best);
  });

  test("a prompt of ids is taken as it is", async () => {
    const ids = await model.tokenizer.encode(PROMPT);
    const options = { temperature: 0, maxTokens: 10 };
    const [fromIds, fromText] = await Promise.all([model.generate(ids, options), model.generate(PROMPT, options)]);
    expect(fromIds.tokens).toEqual(fromText.tokens);
    const { usage } = await model.generate([...ids.subarray(1)], options);
    expect(usage.promptTokens).toBe(ids.length - 1);
  });

  test("different seeds give different texts", async () => {
    const texts = await Promise.all([1, 2, 3].map((seed) => model.generate(PROMPT, { seed, maxTokens: 30 })));
    expect(new Set(texts.map(({ text }) => text)).size).toBe(3);
  });

  test("many at a time say what each says alone", async () => {
    const jobs = Array.from({ length: 12 }, (_, seed) => ({
      prompt: ["Once", "The wolf said: ", "A ".repeat(20 + 10 * seed), "늑대가"][seed % 4]!,
      options: { seed, maxTokens: 20 + seed, ...(seed % 3 === 0 ? { temperature: 0 } : {}) },
    }));
    const together = await Promise.all(jobs.map(({ prompt, options }) => model.generate(prompt, options)));
    for (const [i, { prompt, options }] of jobs.entries()) {
      const alone = await model.generate(prompt, options);
      expect(together[i]!.tokens).toEqual(alone.tokens);
    }
  });

  test("no chunk breaks a character, whatever bytes the model makes", async () => {
    // The random model's 256 byte tokens make all kinds of ill-formed UTF-8 and characters in up to four pieces.
    for (const prompt of ["안녕하세요 세계", "👩‍👩‍👧 🇰🇷", "é"]) {
      const chunks = await read(
        tiny.stream(prompt, { seed: 3, temperature: 2, topK: 0, topP: 1, minP: 0, maxTokens: 150 }),
      );
      const text = chunks.map((chunk) => chunk.text).join("");
      expect(text).toBe(tiny.tokenizer.decode(chunks.flatMap(({ tokens }) => tokens)));
      for (const chunk of chunks) expect(Buffer.from(chunk.text).toString()).toBe(chunk.text);
    }
  });

  test("characters of several tokens arrive whole", async () => {
    // Forces a text out of the model token by token: the bias leaves it no other choice.
    const wanted = "한국어 👩‍🚀 끝";
    const ids = [...(await tiny.tokenizer.encode(wanted, { addSpecial: false }))];
    const prefix = [...(await tiny.tokenizer.encode("x"))];
    const pieces: string[] = [];
    const detokenizer = tiny.tokenizer.createDetokenizer({ continuation: true });
    for (const [i, id] of ids.entries()) {
      const { tokens } = await tiny.generate([...prefix, ...ids.slice(0, i)], {
        logitBias: { [id]: 100 },
        temperature: 0,
        maxTokens: 1,
        ignoreEos: true,
      });
      expect(tokens).toEqual([id]);
      pieces.push(detokenizer.push(tokens[0]!));
    }
    expect(pieces.join("")).toBe(wanted);
    expect(pieces.join("")).not.toContain("\ufffd");
  });
});

describe("how a text ends", () => {
  test("at a stop string, wherever chunks are cut", async () => {
    const options = { temperature: 0, maxTokens: 60 };
    const { text } = await model.generate(PROMPT, options);
    for (const [start, length] of [
      [5, 3],
      [17, 11],
      [40, 2],
      [61, 25],
    ] as const) {
      const stop = text.slice(start, start + length);
      const stopped = await model.generate(PROMPT, { ...options, stop: ["\u0000never", stop] });
      expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
      expect(stopped.finishReason).toBe("stop_string");
      const chunks = await read(model.stream(PROMPT, { ...options, stop }));
      expect(chunks.map((chunk) => chunk.text).join("")).toBe(stopped.text);
    }
  });

  test("held-back text comes when the text ends otherwise", async () => {
    const options = { temperature: 0, maxTokens: 12 };
    const { text } = await model.generate(PROMPT, options);
    const almost = `${text.slice(-4)}\u0000`;
    expect(await model.generate(PROMPT, { ...options, stop: almost })).toMatchObject({ text, finishReason: "length" });
  });

  test("at a stop token, which is not part of it", async () => {
    const { tokens } = await model.generate(PROMPT, { temperature: 0, maxTokens: 20 });
    const end = tokens[7]!;
    const stopped = await model.generate(PROMPT, { temperature: 0, stopTokens: [end] });
    const first = tokens.indexOf(end);
    expect(stopped).toMatchObject({ tokens: tokens.slice(0, first), finishReason: "stop" });
    expect(stopped.usage.completionTokens).toBe(first + 1);
  });

  test("at the model's own end, unless it is ignored", async () => {
    const options = { logitBias: { [TINY_EOS]: 100 }, temperature: 0, maxTokens: 5 };
    expect(await tiny.generate("a", options)).toMatchObject({ text: "", tokens: [], finishReason: "stop" });
    expect(await tiny.generate("a", { ...options, ignoreEos: true })).toMatchObject({
      text: "",
      tokens: Array(5).fill(TINY_EOS),
      finishReason: "length",
    });
  });

  test("when prompt and answer fill the context", async () => {
    const prompt = Array<number>(250).fill(65);
    const full = await tiny.generate(prompt, { ignoreEos: true });
    expect(full.finishReason).toBe("context");
    expect(full.usage.totalTokens).toBe(256);
    await expect(tiny.generate(Array<number>(255).fill(65), { ignoreEos: true })).resolves.toMatchObject({
      finishReason: "context",
      usage: { completionTokens: 1 },
    });
  });
});

describe("refusals", () => {
  test("a prompt that leaves no room", async () => {
    await expect(tiny.generate(Array<number>(256).fill(65))).rejects.toBeInstanceOf(ContextLengthError);
    await expect(tiny.generate("long ".repeat(300))).rejects.toThrow(/at most 255 fit into the context of 256/);
  });

  test.each<[string, unknown, RegExp]>([
    ["a misspelt option", { temprature: 1 }, /unknown option "temprature".*"temperature"/],
    ["a value out of range", { topP: 1.5 }, /"topP"/],
    ["no tokens", { maxTokens: 0 }, /"maxTokens".*at least 1/],
    ["an empty stop string", { stop: "" }, /"stop"/],
    ["a bias on an id that is none", { logitBias: { 99999: 1 } }, /99999/],
    ["a signal that is none", { signal: {} }, /"signal"/],
  ])("%s", async (_, options, message) => {
    const result = model.generate(PROMPT, options as GenerationOptions);
    await expect(result).rejects.toBeInstanceOf(InvalidOptionError);
    await expect(result).rejects.toThrow(message);
  });

  test.each<[string, unknown]>([
    ["no prompt", undefined],
    ["an object", {}],
    ["no tokens", []],
    ["an id out of the vocabulary", [1, 4096]],
    ["a negative id", [-1]],
    ["half an id", [1.5]],
  ])("a prompt that is %s", async (_, prompt) => {
    await expect(model.generate(prompt as string)).rejects.toBeInstanceOf(InvalidOptionError);
  });

  test("stream throws for wrong options before anything is read", () => {
    expect(() => model.stream(PROMPT, { seed: -1 })).toThrow(InvalidOptionError);
  });
});

describe("aborting", () => {
  test("before", async () => {
    const signal = AbortSignal.abort(new Error("no"));
    await expect(model.generate(PROMPT, { signal })).rejects.toMatchObject({
      name: "AbortError",
      cause: new Error("no"),
    });
  });

  test("during, also while no chunk is awaited", async () => {
    const controller = new AbortController();
    const stream = model.stream(PROMPT, { signal: controller.signal, ignoreEos: true });
    expect((await stream.next()).done).toBe(false);
    controller.abort();
    await expect(stream.next()).rejects.toBeInstanceOf(AbortError);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test("at once, not at the end of the step", async () => {
    const controller = new AbortController();
    const waiting = model.generate(PROMPT, { signal: controller.signal, ignoreEos: true });
    setImmediate(() => controller.abort());
    await expect(waiting).rejects.toBeInstanceOf(AbortError);
  });

  test("after, without effect", async () => {
    const controller = new AbortController();
    const { text } = await model.generate(PROMPT, { signal: controller.signal, temperature: 0, maxTokens: 3 });
    controller.abort();
    expect(text).not.toBe("");
  });

  test("leaves others alone", async () => {
    const controller = new AbortController();
    const options = { temperature: 0, maxTokens: 50 };
    const expected = await model.generate(PROMPT, options);
    const other = model.generate(PROMPT, options);
    const left = model.generate("The", { signal: controller.signal });
    setTimeout(() => controller.abort(), 3);
    await left.catch(() => undefined);
    expect((await other).tokens).toEqual(expected.tokens);
  });

  test("a listener is taken away from a signal that lives on", async () => {
    const { signal } = new AbortController();
    const add = jest.spyOn(signal, "addEventListener");
    const remove = jest.spyOn(signal, "removeEventListener");
    await model.generate(PROMPT, { signal, maxTokens: 2 });
    expect(remove.mock.calls.map(([, listener]) => listener)).toEqual(add.mock.calls.map(([, listener]) => listener));
  });
});

describe("readers", () => {
  test("that are slow make the text wait, and lose nothing", async () => {
    const options = { temperature: 0, ignoreEos: true, maxTokens: 200 };
    const expected = await model.generate(PROMPT, options);
    const stream = model.stream(PROMPT, options);
    const first = await stream.next();
    // Long enough for the rest to be computed several times over, if nothing held it back.
    for (let i = 0; i < 5; i++) await model.generate(PROMPT, { ...options, maxTokens: 100 });
    const rest = await read(stream);
    expect([first.value!, ...rest].flatMap(({ tokens }) => tokens)).toEqual(expected.tokens);
  });

  test("that leave the loop stop the work", async () => {
    const own = await Model.load(tinyPath);
    const stream = own.stream("a", { ignoreEos: true });
    for await (const chunk of stream) if (chunk.tokens.length > 0) break;
    expect((await stream.next()).done).toBe(true);
    await own.close();
  });

  test("that never read cost nothing", async () => {
    const stream = model.stream(PROMPT);
    expect(await stream.return()).toEqual({ done: true, value: undefined });
    expect((await stream.next()).done).toBe(true);
  });
});

describe("closing", () => {
  test("stops what is under way, refuses what comes later, and may be repeated", async () => {
    const own = await Model.load(tinyPath);
    const texts = [own.generate("a", { ignoreEos: true }), own.evaluate(Array<number>(256).fill(1))];
    const outcomes = Promise.allSettled(texts);
    await new Promise(setImmediate);
    await Promise.all([own.close(), own.close()]);
    for (const outcome of await outcomes) {
      const { code = "" } = outcome.status === "rejected" ? (outcome.reason as { code?: string }) : {};
      expect(["", "ERR_ABORTED", "ERR_CLOSED"]).toContain(code);
    }
    await expect(own.generate("a")).rejects.toBeInstanceOf(ClosedError);
    expect(() => own.stream("a")).toThrow(ClosedError);
    expect(() => own.chat({ template: "story" })).toThrow(ClosedError);
    await expect(own.evaluate([1])).rejects.toBeInstanceOf(ClosedError);
    await expect(own.tokenizer.encode("a")).rejects.toBeInstanceOf(ClosedError);
    await own.close();
  });

  test("by await using", async () => {
    let outside: Model;
    {
      await using own = await Model.load(tinyPath);
      outside = own;
      await own.generate("a", { maxTokens: 1 });
    }
    await expect(outside.generate("a")).rejects.toBeInstanceOf(ClosedError);
  });
});
