/** Whatever becomes of a text, nothing of it is left: blocks, places, listeners, timers, handles. */
import { getEventListeners, getMaxListeners } from "node:events";
import { join } from "node:path";
import { Readable } from "node:stream";
import {
  AbortError,
  InvalidOptionError,
  Model,
  QueueFullError,
  tool,
  ToolError,
  toReadableStream,
  toResponse,
  type GenerationOptions,
} from "../../lib";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

jest.setTimeout(120_000);

const folder = temporaryFolder();
let model: Model;
let resources: string[];

beforeAll(async () => {
  const path = join(folder, "tiny.gguf");
  writeTinyModel(path, { context: 1024 });
  model = await Model.load(path, { maxConcurrent: 4, maxQueue: 20_000 });
  // What the process has once a text was made.
  await model.generate([65], { maxTokens: 2 });
  resources = kept();
});
afterAll(() => model.close());

/** Handles and requests that keep the process up, but for those that the runner has too. */
function kept(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => !["Immediate", "Timeout", "TTYWrap", "PipeWrap", "FSReqPromise"].includes(name))
    .sort();
}

const ENDLESS: GenerationOptions = { ignoreEos: true, maxTokens: 200, temperature: 1, seed: 1 };
const PROMPT = [1, 2, 3, 4, 5];

/** Waits until all that was given up is gone, and looks at what is left. */
async function nothingIsLeft(): Promise<void> {
  for (let i = 0; i < 2000 && model.stats().running + model.stats().waiting > 0; i++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  // The step under way ends; then its blocks are free.
  await model.generate([66], { maxTokens: 1 });
  model.clearPrefixCache();
  const { running, waiting, kvBlocks } = model.stats();
  expect({ running, waiting, free: kvBlocks.free }).toEqual({ running: 0, waiting: 0, free: kvBlocks.total });
  expect(kept()).toEqual(resources);
}

afterEach(nothingIsLeft);

test("a reader that leaves its loop, before, in and after the first chunk", async () => {
  for (let leave = 0; leave < 4; leave++) {
    let chunks = 0;
    for await (const chunk of model.stream(PROMPT, ENDLESS)) if (chunk.tokens.length === 0 || chunks++ === leave) break;
  }
  const unread = model.stream(PROMPT, ENDLESS);
  await unread.return();
  expect(await unread.next()).toEqual({ done: true, value: undefined });
  // Never read at all: no work was begun.
  model.stream(PROMPT, ENDLESS);
});

test("a reader that throws", async () => {
  const reading = (async () => {
    for await (const chunk of model.stream(PROMPT, ENDLESS)) if (chunk.tokens.length > 0) throw new RangeError("mine");
  })();
  await expect(reading).rejects.toThrow(RangeError);
});

test("a reader that stops reading holds a place, until it leaves", async () => {
  const stream = model.stream(PROMPT, ENDLESS);
  await stream.next();
  // Others come and go meanwhile.
  await Promise.all(Array.from({ length: 8 }, (_, i) => model.generate([i], { ...ENDLESS, maxTokens: 20 })));
  expect(model.stats().running).toBeLessThanOrEqual(1);
  await stream.return();
});

test("cancelled Web streams, responses and Node streams", async () => {
  const web = toReadableStream(model.stream(PROMPT, ENDLESS)).getReader();
  await web.read();
  await web.cancel();

  const body = toResponse(model.stream(PROMPT, ENDLESS)).body!.getReader();
  await body.read();
  await body.cancel("client went away");

  const unread = toResponse(model.stream(PROMPT, ENDLESS));
  await unread.body!.cancel();

  const readable = Readable.from(model.stream(PROMPT, ENDLESS));
  for await (const _ of readable) break;
  expect(readable.destroyed).toBe(true);
});

test("10,000 requests that wait, and are all aborted by one signal", async () => {
  const warnings: Error[] = [];
  const listen = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listen);
  const controller = new AbortController();
  const { signal } = controller;
  const texts = Array.from({ length: 10_000 }, (_, i) =>
    model.generate([i % 256], { ...ENDLESS, signal, timeout: 60_000 }),
  );
  const settled = Promise.allSettled(texts);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(model.stats().waiting).toBeGreaterThan(5000);
  controller.abort();
  for (const outcome of await settled) {
    if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(AbortError);
  }
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  // One signal for all requests, as servers have it, is no leak.
  process.off("warning", listen);
  expect(warnings).toEqual([]);
  expect(getMaxListeners(signal)).toBe(getMaxListeners(new AbortController().signal));
});

test("a signal that lives on has no listeners when texts are over, however they ended", async () => {
  const { signal } = new AbortController();
  await model.generate(PROMPT, { ...ENDLESS, maxTokens: 3, signal });
  for await (const _ of model.stream(PROMPT, { ...ENDLESS, signal })) break;
  await model.generate("x".repeat(2000), { signal }).catch(() => undefined);
  await model.embed([PROMPT], { signal }).catch(() => undefined);
  await model.score(PROMPT, { signal });
  await model.generate(PROMPT, { signal, format: { type: "regex", pattern: "(" } }).catch(() => undefined);
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

test("timeouts, and texts that ended before theirs", async () => {
  const timers = jest.spyOn(globalThis, "setTimeout");
  await expect(model.generate(PROMPT, { ...ENDLESS, timeout: 1, maxTokens: 900 })).rejects.toBeInstanceOf(AbortError);
  await model.generate(PROMPT, { ...ENDLESS, maxTokens: 2, timeout: 3_600_000 });
  const made = timers.mock.results.filter((_, i) => timers.mock.calls[i]![1] === 3_600_000);
  expect(made).toHaveLength(1);
  expect(made[0]!.value).toMatchObject({ _destroyed: true });
  timers.mockRestore();
});

test("a function that throws, one that never ends, and a second question meanwhile", async () => {
  const tools = { fail: tool({ execute: () => Promise.reject(new Error("no")) }) };
  const options = { template: "chatml", maxTokens: 100, toolChoice: "required", parallelToolCalls: false } as const;
  const failing = model.chat({ ...options, tools });
  await expect(failing.ask("x", { seed: 1 })).rejects.toBeInstanceOf(ToolError);
  failing.close();

  let begun = (): void => undefined;
  const running = new Promise<void>((resolve) => (begun = resolve));
  const hanging = model.chat({
    ...options,
    tools: {
      hang: tool({
        execute: () => {
          begun();
          return new Promise<string>(() => undefined);
        },
      }),
    },
  });
  const answer = hanging.ask("x", { seed: 1 });
  await running;
  await expect(hanging.ask("second")).rejects.toBeInstanceOf(QueueFullError);
  hanging.close();
  await expect(answer).rejects.toBeInstanceOf(AbortError);
});

test("sessions that were left in the middle of an answer", async () => {
  for (let i = 0; i < 10; i++) {
    const chat = model.chat({ template: "story", ...ENDLESS, seed: i });
    for await (const chunk of chat.send("Once")) if (chunk.tokens.length > 0) break;
    chat.close();
  }
});

const NOT_TEXTS: unknown[] = [5, null, true, 10n, {}, Symbol("s"), () => 1, [null], { length: 2 }];

test.each<[string, (value: never) => unknown]>([
  ["model.stream", (value) => model.stream(value).next()],
  ["model.generate", (value) => model.generate(value)],
  ["model.generateSamples", (value) => model.generateSamples(value, 2)],
  ["model.score", (value) => model.score(value)],
  ["model.score of a continuation", (value) => model.score(value, "b")],
  ["model.evaluate", (value) => model.evaluate(value)],
  ["model.embed", (value) => model.embed(value)],
  ["model.reply", (value) => model.reply(value, { template: "story" }).next()],
  ["model.chat", (value) => model.chat({ template: "story", tools: { f: value } }).ask(value)],
  ["model.saveState", (value) => model.saveState(value, "state")],
  ["model.loadState", (value) => model.loadState(value)],
  ["toReadableStream", (value) => toReadableStream(value)],
  ["toResponse", (value) => toResponse(value)],
])("%s refuses values of the wrong type with an InvalidOptionError", async (_, call) => {
  for (const value of NOT_TEXTS) {
    await expect(Promise.resolve().then(() => call(value as never))).rejects.toBeInstanceOf(InvalidOptionError);
  }
});

test.each<[string, (value: never) => unknown]>([
  ["model.stream", (value) => model.stream(PROMPT, value).next()],
  ["model.generate", (value) => model.generate(PROMPT, value)],
  ["a schema", (value) => model.generate(PROMPT, { schema: value })],
  ["model.generateSamples", (value) => model.generateSamples(PROMPT, 2, value)],
  ["model.score", (value) => model.score("a", "b", value)],
  ["model.evaluate", (value) => model.evaluate(PROMPT, value)],
  ["model.embed", (value) => model.embed("a", value)],
  ["model.chat", (value) => model.chat(value)],
])("%s refuses options of the wrong type with an InvalidOptionError", async (_, call) => {
  for (const value of [null, 5, "text", true, [1]]) {
    await expect(Promise.resolve().then(() => call(value as never))).rejects.toBeInstanceOf(InvalidOptionError);
  }
});

test("scores and vectors that take too long are given up", async () => {
  const tokens = Array.from({ length: 1000 }, (_, i) => 60 + (i % 9));
  const busy = Array.from({ length: 8 }, () => model.generate(PROMPT, ENDLESS));
  const late = { timeout: 1 };
  const work = [
    model.evaluate(tokens, late),
    model.score(tokens, late),
    model.embed(Array<number[]>(40).fill(tokens), late),
  ];
  for (const outcome of await Promise.allSettled(work)) {
    expect(outcome).toMatchObject({
      status: "rejected",
      reason: { code: "ERR_ABORTED", cause: { name: "TimeoutError" } },
    });
  }
  await Promise.all(busy);
});

test("wrong options and forms begin no work", async () => {
  expect(() => model.stream(PROMPT, { temperature: "hot" } as never)).toThrow(/temperature/);
  await expect(model.generate(PROMPT, { schema: { type: "strin" } })).rejects.toThrow(/strin/);
  await expect(model.generate([-1])).rejects.toThrow(/token 0/);
  await expect(
    model.generateSamples(PROMPT, 3, { ...ENDLESS, format: { type: "grammar", grammar: "x" } }),
  ).rejects.toThrow(/::=/);
});
