/** Functions in conversations: the bundled model calls them because it must, and what it writes is valid. */
import { z } from "zod";
import {
  AbortError,
  InvalidOptionError,
  Model,
  tool,
  ToolError,
  UnsupportedModelError,
  type ChatOptions,
  type Chunk,
} from "../../../lib";
import { HERMES_TEMPLATE, LLAMA_TEMPLATE } from "./templates";

let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

const OPTIONS = { maxTokens: 60, seed: 1 } as const;
const CITIES = ["Ulm", "Bonn"];
const weatherSchema = z.object({ city: z.enum(["Ulm", "Bonn"]), days: z.number().int().min(1).max(5).default(3) });

async function read(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("the loop", () => {
  test("calls what it must, and answers with what it was told", async () => {
    const seen: unknown[] = [];
    using chat = model.chat({
      ...{ ...OPTIONS, maxTokens: 100 },
      toolChoice: { name: "weather" },
      tools: {
        weather: tool({
          description: "Tells the weather",
          parameters: weatherSchema,
          execute: ({ city, days }, { name }) => {
            seen.push([name, city, days]);
            return { sky: "blue", days };
          },
        }),
      },
    });
    const chunks = await read(chat.send("How is the weather?"));
    expect(seen).toEqual([["weather", expect.stringMatching(/^(Ulm|Bonn)$/), expect.any(Number)]]);
    const results = chunks.flatMap(({ toolResults = [] }) => toolResults);
    expect(results).toMatchObject([{ name: "weather", content: expect.stringContaining('"sky":"blue"') as string }]);
    const [question, called, told, answer] = chat.messages;
    expect([question?.role, called?.role, told?.role, answer?.role]).toEqual([
      "user",
      "assistant",
      "tool",
      "assistant",
    ]);
    expect(called?.toolCalls?.[0]).toMatchObject({ name: "weather", id: results[0]?.id });
    expect(told).toMatchObject({ toolCallId: results[0]?.id, content: results[0]?.content });
    expect(answer?.content).not.toBe("");
    // The turn's usage is that of both answers.
    const { usage, finishReason } = chunks.at(-1)!;
    expect(chunks.filter((chunk) => chunk.finishReason !== undefined)).toHaveLength(1);
    const toldAt = chunks.findIndex(({ toolResults }) => toolResults !== undefined);
    const tokens = (some: Chunk[]): number => some.reduce((sum, chunk) => sum + chunk.tokens.length, 0);
    expect(tokens(chunks.slice(0, toldAt))).toBeGreaterThan(10);
    expect(tokens(chunks.slice(toldAt))).toBeGreaterThan(10);
    // A token that ends an answer is counted, but has no text to stream.
    const ends = (usage?.completionTokens ?? 0) - tokens(chunks);
    expect(ends).toBeGreaterThanOrEqual(0);
    expect(ends).toBeLessThanOrEqual(2);
    expect(["stop", "length"]).toContain(finishReason);
    expect(chat.pendingToolCalls).toEqual([]);
  });

  test("ends at its limit with the calls that are open, which can be answered", async () => {
    let count = 0;
    const options: ChatOptions = {
      ...{ ...OPTIONS, maxToolRounds: 1, toolChoice: "required", parallelToolCalls: false },
      tools: { clock: tool({ execute: () => String(count++) }) },
    };
    using chat = model.chat(options);
    const result = await chat.ask("What time is it?");
    expect(count).toBe(0);
    expect(result).toMatchObject({
      finishReason: "tool_calls",
      text: "",
      toolCalls: [{ name: "clock", arguments: "{}" }],
    });
    expect(chat.pendingToolCalls).toEqual(result.toolCalls);
    const [call] = chat.pendingToolCalls;
    await expect(chat.ask("Well?")).rejects.toThrow(/sendToolResults/);
    expect(() => chat.sendToolResults([{ id: "other", content: 1 }])).toThrow(InvalidOptionError);
    expect(() => chat.sendToolResults([])).toThrow(InvalidOptionError);
    const given = [{ id: call!.id, content: "noon" }];
    const chunks = await read(chat.sendToolResults(given, { toolChoice: "none", maxTokens: 8 }));
    expect(chunks.at(-1)?.finishReason).toBe("length");
    expect(chat.messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "assistant"]);
    expect(() => chat.sendToolResults(given)).toThrow(/no function was called/);
  });

  test("functions that only the caller can call are handed over", async () => {
    using chat = model.chat({ ...OPTIONS, toolChoice: "required", tools: { clock: {} }, parallelToolCalls: false });
    const { finishReason, toolCalls } = await chat.ask("What time is it?");
    expect([finishReason, toolCalls?.[0]?.name]).toEqual(["tool_calls", "clock"]);
  });

  test("a function that throws fails the turn with its name and cause, and leaves the history alone", async () => {
    const cause = new Error("no network");
    const tools = {
      clock: tool({
        execute: () => {
          throw cause;
        },
      }),
    };
    const options = { ...OPTIONS, toolChoice: "required", parallelToolCalls: false, tools } as const;
    using chat = model.chat(options);
    const error = await chat.ask("What time is it?").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ToolError);
    expect(error).toMatchObject({ code: "ERR_TOOL", toolName: "clock", cause });
    expect(chat.messages).toEqual([]);
    expect((await chat.ask("Again?", { toolChoice: "none", maxTokens: 3 })).text).not.toBe("");
    using telling = model.chat({ ...options, toolErrors: "tell" });
    await telling.ask("What time is it?");
    expect(telling.messages[2]).toMatchObject({ role: "tool", content: "Error: no network" });
  });

  test("arguments that a zod schema refuses, and results that are no JSON, are errors of the tool", async () => {
    const base = { ...OPTIONS, toolChoice: "required", parallelToolCalls: false } as const;
    const odd = z.object({ n: z.number().int().min(1).max(5) }).refine(() => false, "never good enough");
    using refusing = model.chat({ ...base, tools: { odd: tool({ parameters: odd, execute: () => 1 }) } });
    await expect(refusing.ask("Go")).rejects.toThrow(ToolError);
    using circular = model.chat({ ...base, tools: { f: tool({ execute: () => () => 1 }) } });
    await expect(circular.ask("Go")).rejects.toThrow(/must be JSON/);
  });

  test("abort and leaving end it at once, while a function runs too", async () => {
    for (const how of ["abort", "leave", "close", "timeout"] as const) {
      const controller = new AbortController();
      let toolSignal: AbortSignal | undefined;
      let started = (): void => undefined;
      const running = new Promise<void>((resolve) => (started = resolve));
      const chat = model.chat({
        ...{ ...OPTIONS, toolChoice: "required", parallelToolCalls: false },
        tools: {
          wait: tool({
            execute: (_, { signal }) => {
              toolSignal = signal;
              started();
              return new Promise(() => undefined);
            },
          }),
        },
      });
      const limit = how === "timeout" ? { timeout: 2000 } : {};
      const turn = chat.send("Wait", { signal: controller.signal, ...limit });
      const reading = read(turn);
      // A timeout counts from the question on.
      if (how !== "timeout") await running;
      if (how === "abort") controller.abort();
      else if (how === "leave") await turn.return();
      else if (how === "close") chat.close();
      if (how === "leave") expect((await reading).at(-1)?.finishReason).toBeUndefined();
      else await expect(reading).rejects.toThrow(AbortError);
      if (how !== "timeout") expect(toolSignal?.aborted).toBe(true);
      expect(chat.messages).toEqual([]);
      chat.close();
    }
    expect(model.stats().running).toBe(0);
  });
});

describe("without a session", () => {
  test.each([
    ["hermes", HERMES_TEMPLATE],
    ["llama3", LLAMA_TEMPLATE],
    ["a template that knows no functions", undefined],
  ])("calls are valid for their schemas: %s", async (_name, template) => {
    const parameters = {
      type: "object",
      properties: {
        city: { enum: CITIES },
        tags: { type: "array", maxItems: 3, items: { type: "string", pattern: "^[a-z]{2,4}$" } },
      },
      required: ["city", "tags"],
    };
    for (let seed = 0; seed < 6; seed++) {
      const stream = model.reply([{ role: "user", content: "Weather?" }], {
        ...{ seed, toolChoice: "required", parallelToolCalls: false, maxTokens: 200 },
        ...(template === undefined ? {} : { template }),
        tools: { weather: { description: "Tells the <weather>", parameters } },
      });
      const pieces = (await read(stream)).flatMap(({ toolCalls = [] }) => toolCalls);
      const value = JSON.parse(pieces.map((piece) => piece.arguments).join("")) as { city: string; tags: string[] };
      expect(pieces[0]).toMatchObject({ index: 0, name: "weather", id: expect.stringMatching(/^call_/) as string });
      expect(CITIES).toContain(value.city);
      for (const tag of value.tags) expect(tag).toMatch(/^[a-z]{2,4}$/);
    }
  });

  test("a conversation with calls and results is rendered as the template has it", async () => {
    const messages = [
      { role: "user", content: "Weather?" },
      { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "weather", arguments: '{"city":"Ulm"}' }] },
      { role: "tool", content: "sunny", toolCallId: "c1" },
    ] as const;
    for (const template of [HERMES_TEMPLATE, LLAMA_TEMPLATE, undefined]) {
      const options = { maxTokens: 3, tools: { weather: {} }, ...(template === undefined ? {} : { template }) };
      const last = (await read(model.reply(messages, options))).at(-1);
      expect(last?.usage?.promptTokens).toBeGreaterThan(20);
    }
  });

  test.each<[object, RegExp]>([
    [{ tools: [] }, /"tools" must be an object/],
    [{ tools: { "a b": {} } }, /a name must be/],
    [{ tools: { f: { parameters: 5 } } }, /parameters.*must be a JSON schema/],
    [{ tools: { f: { execute: 5 } } }, /execute.*must be a function/],
    [{ tools: { f: { run: 5 } } }, /unknown option "run"/],
    [{ toolChoice: "always" }, /toolChoice/],
  ])("refuses %j", (options, message) => {
    const call = (): unknown => model.reply([{ role: "user", content: "x" }], options);
    expect(call).toThrow(InvalidOptionError);
    expect(call).toThrow(message);
  });

  test.each<[object, new () => Error]>([
    [{ tools: { f: {} }, toolChoice: { name: "g" } }, InvalidOptionError],
    [{ toolChoice: "required" }, InvalidOptionError],
    [{ tools: { f: { parameters: { type: "object", dependentRequired: {} }, strict: true } } }, InvalidOptionError],
    [{ tools: { f: {} }, template: "{{ tools }}[TOOLS]{{ messages }}" }, UnsupportedModelError],
  ])("rejects %j", async (options, errorClass) => {
    await expect(read(model.reply([{ role: "user", content: "x" }], options))).rejects.toThrow(errorClass);
  });
});
