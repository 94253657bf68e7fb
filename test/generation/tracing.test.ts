/** Spans for subscribers of `node:diagnostics_channel`: one for each piece of work, however it ends. */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import { AbortError, ContextLengthError, Model, tool, ToolError, type Trace, type TraceAttributes } from "../../lib";

const PROMPT = "Once upon a time";
let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

interface Seen {
  event: string;
  trace: Trace;
  /** As they were then. */
  attributes: TraceAttributes;
}

/** Calls `work` and collects what an area's channels say meanwhile. */
async function spansOf(area: string, work: () => Promise<unknown>): Promise<Seen[]> {
  const seen: Seen[] = [];
  const listeners = EVENTS.map((event) => {
    const listen = (message: unknown): void => {
      const trace = message as Trace;
      seen.push({ event, trace, attributes: trace.attributes });
    };
    return [`tracing:node-bitnet.${area}:${event}`, listen] as const;
  });
  for (const [name, listen] of listeners) subscribe(name, listen);
  try {
    await work();
  } finally {
    for (const [name, listen] of listeners) unsubscribe(name, listen);
  }
  return seen;
}

const COMPLETE = ["start", "end", "asyncStart", "asyncEnd"];
const FAILED = ["start", "end", "error", "asyncStart", "asyncEnd"];
const eventsOf = (seen: readonly Seen[]): string[] => seen.map(({ event }) => event);

describe("generation", () => {
  test("a text that was read to its end", async () => {
    const seen = await spansOf("generation", async () => {
      const { usage } = await model.generate(PROMPT, { maxTokens: 3, temperature: 0, seed: 5 });
      expect(usage.completionTokens).toBe(3);
    });
    expect(eventsOf(seen)).toEqual(COMPLETE);
    expect(new Set(seen.map(({ trace }) => trace)).size).toBe(1);
    expect(seen[0]?.trace.operation).toBe("model.generate");
    expect(seen[0]?.attributes).toEqual({
      "gen_ai.operation.name": "text_completion",
      "gen_ai.provider.name": "node-bitnet",
      "gen_ai.request.model": model.info.name ?? model.info.path,
      "gen_ai.request.temperature": 0,
      "gen_ai.request.max_tokens": 3,
      "gen_ai.request.seed": 5,
    });
    expect(seen.at(-1)?.attributes).toMatchObject({
      "gen_ai.response.finish_reasons": ["length"],
      "gen_ai.usage.input_tokens": (await model.tokenizer.encode(PROMPT)).length,
      "gen_ai.usage.output_tokens": 3,
      "gen_ai.server.time_to_first_token": expect.any(Number) as number,
    });
  });

  test("a text that failed, and one that was left", async () => {
    const failed = await spansOf("generation", () =>
      expect(model.generate(PROMPT, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AbortError),
    );
    expect(eventsOf(failed)).toEqual(FAILED);
    expect(failed.at(-1)?.trace.error).toBeInstanceOf(AbortError);
    expect(failed.at(-1)?.attributes).toMatchObject({ "error.type": "ERR_ABORTED" });

    using chat = model.chat({ template: "story" });
    const left = await spansOf("generation", async () => {
      for await (const chunk of chat.send("Once")) if (chunk.tokens.length > 0) break;
    });
    expect(eventsOf(left)).toEqual(COMPLETE);
    expect(left[0]?.attributes["gen_ai.operation.name"]).toBe("chat");
  });

  test("nothing is told to whoever unsubscribed", async () => {
    const seen = await spansOf("generation", () => Promise.resolve());
    await model.generate(PROMPT, { maxTokens: 1 });
    expect(seen).toEqual([]);
  });
});

test("embedding: tokens and dimensions, or what failed it", async () => {
  const texts = ["The fox", "the hen and the fox"];
  const counts = await Promise.all(texts.map(async (text) => (await model.tokenizer.encode(text)).length));
  const seen = await spansOf("embedding", () => model.embed(texts, { dimensions: 8 }));
  expect(eventsOf(seen)).toEqual(COMPLETE);
  expect(seen[0]).toMatchObject({
    trace: { operation: "model.embed" },
    attributes: { "gen_ai.operation.name": "embeddings", "gen_ai.embeddings.dimension.count": 8 },
  });
  expect(seen.at(-1)?.attributes).toMatchObject({ "gen_ai.usage.input_tokens": counts[0]! + counts[1]! });

  const failed = await spansOf("embedding", () =>
    expect(model.embed("word ".repeat(5000))).rejects.toBeInstanceOf(ContextLengthError),
  );
  expect(eventsOf(failed)).toEqual(FAILED);
  expect(failed.at(-1)?.attributes).toMatchObject({ "error.type": "ERR_CONTEXT_LENGTH" });
});

test("score: of continuations, of tokens, and of all logits", async () => {
  const seen = await spansOf("score", async () => {
    await model.score([5, 6, 7], [8, 9]);
    await model.score([5, 6, 7]);
    await model.evaluate([5, 6]);
    await expect(model.score([5, -1])).rejects.toThrow(/token 1/);
  });
  expect(eventsOf(seen)).toEqual([...COMPLETE, ...COMPLETE, ...COMPLETE, ...FAILED]);
  const ended = seen.filter(({ event }) => event === "asyncEnd");
  expect(
    ended.map(({ trace, attributes }) => [
      trace.operation,
      attributes["gen_ai.usage.input_tokens"],
      trace.error !== undefined,
    ]),
  ).toEqual([
    ["model.score", 5, false],
    ["model.score", 3, false],
    ["model.evaluate", 2, false],
    ["model.score", 2, true],
  ]);
});

test("tool: a function that is called runs within its span's store", async () => {
  const store = new AsyncLocalStorage<Trace>();
  const start = channel("tracing:node-bitnet.tool:start");
  start.bindStore(store);
  const options = { template: "chatml", toolChoice: "required", parallelToolCalls: false, maxTokens: 60 } as const;
  let within: Trace | undefined;
  const good = tool({
    execute: async () => {
      await Promise.resolve();
      within = store.getStore();
      return "noon";
    },
  });
  const seen = await spansOf("tool", async () => {
    using chat = model.chat({ ...options, tools: { clock: good } });
    await chat.ask("What time is it?", { seed: 1 });
  });
  start.unbindStore(store);
  expect(eventsOf(seen).slice(0, 4)).toEqual(COMPLETE);
  expect(within).toBe(seen[0]?.trace);
  expect(seen[0]?.attributes).toMatchObject({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "clock" });

  const bad = tool({ execute: () => Promise.reject(new TypeError("no")) });
  const failed = await spansOf("tool", async () => {
    using chat = model.chat({ ...options, tools: { clock: bad } });
    await expect(chat.ask("What time is it?", { seed: 1 })).rejects.toBeInstanceOf(ToolError);
  });
  expect(eventsOf(failed)).toEqual(FAILED);
  expect(failed.at(-1)?.attributes).toMatchObject({ "error.type": "TypeError" });
});
