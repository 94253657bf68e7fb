/* eslint-disable @typescript-eslint/no-deprecated -- applications use the older functions, too */
import * as current from "ai";
import type { ToolSet } from "ai";
import * as previous from "ai-6";
import { z } from "zod";
import { AbortError, ContextLengthError, InvalidOptionError, Model } from "../../lib";
import { bitnet, bitnetEmbedding, createBitnet } from "../../lib/ai_sdk";
import type { BackendChunk } from "../../lib/server";
import { BUNDLED, lastChunk, scriptedBackend, until } from "../server/helpers";

const prompt = "Once upon a time";
let model: Model;

beforeAll(async () => {
  model = await Model.load();
});

afterAll(() => model.close());

/** Waits until nothing is computed and no block of the KV cache is held; the step under way may still end. */
async function allIsFree(): Promise<void> {
  await until(() => {
    model.clearPrefixCache();
    const { running, waiting, kvBlocks } = model.stats();
    return running + waiting === 0 && kvBlocks.free === kvBlocks.total;
  });
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

/** The versions of the AI SDK that the provider is for, each with its own `@ai-sdk/provider`, whose types differ. */
const VERSIONS: readonly (readonly [version: string, sdk: typeof current])[] = [
  ["7", current],
  ["6", previous as unknown as typeof current],
];

describe.each(VERSIONS)("ai %s", (version, sdk) => {
  const { createProviderRegistry, embed, embedMany, generateObject, generateText, streamObject, streamText } = sdk;
  const { customProvider, defaultSettingsMiddleware, wrapLanguageModel } = sdk;
  const { NoObjectGeneratedError, NoSuchModelError, Output, stepCountIs, jsonSchema, tool } = sdk;

  describe("generateText", () => {
    test("gives what the model says, with its usage and timings", async () => {
      const expected = await model.generate(prompt, { maxTokens: 20, temperature: 0 });
      const { text, usage, finishReason, response, providerMetadata, warnings } = await generateText({
        model: bitnet(model),
        prompt,
        maxOutputTokens: 20,
        temperature: 0,
      });
      expect(text).toBe(expected.text);
      expect(usage).toMatchObject({ inputTokens: expected.usage.promptTokens, outputTokens: 20 });
      expect(finishReason).toBe("length");
      expect(response.modelId).toBe(BUNDLED);
      expect(warnings).toEqual([]);
      expect(providerMetadata?.bitnet?.timings).toMatchObject({ draftTokens: 0 });
    });

    test("takes the SDK's settings, and this package's as provider options", async () => {
      const options = { topP: 0.8, topK: 30, temperature: 0.9, frequencyPenalty: 0.5, presencePenalty: 0.2, seed: 11 };
      const own = { minP: 0.02, repetitionPenalty: 1.1, logprobs: 2 };
      const expected = await model.generate(prompt, { ...options, ...own, maxTokens: 15, stop: ["forest"] });
      const given = { ...options, maxOutputTokens: 15, stopSequences: ["forest"], prompt };
      const result = await generateText({ model: bitnet(model), ...given, providerOptions: { bitnet: own } });
      expect(result.text).toBe(expected.text);
      expect(result.providerMetadata?.bitnet?.logprobs).toEqual(JSON.parse(JSON.stringify(expected.logprobs)));
      // Those of the model are defaults.
      const again = await generateText({ model: bitnet(model, { ...own, topK: 1 }), ...given });
      expect(again.text).toBe(expected.text);
    });

    test("refuses what it cannot do, and says so", async () => {
      const ask = (rest: object): Promise<unknown> =>
        generateText({ model: bitnet(model), prompt, maxRetries: 0, ...rest });
      await expect(ask({ providerOptions: { bitnet: { minp: 0.1 } } })).rejects.toThrow(/Did you mean "minP"/);
      await expect(ask({ temperature: -1 })).rejects.toThrow(InvalidOptionError);
      await expect(ask({ prompt: "word ".repeat(3000) })).rejects.toThrow(ContextLengthError);
      const image = { type: "file", mediaType: "image/png", data: new Uint8Array(4) };
      await expect(ask({ prompt: [{ role: "user", content: [image] }] })).rejects.toThrow(
        /reads text only.*image\/png/,
      );
      expect(() => bitnet("model.gguf" as never)).toThrow(/must be a loaded Model/);
      expect(() => bitnet(model, { topk: 3 } as never)).toThrow(/Did you mean "topK"/);
    });

    test("reads documents that are texts, and refuses other files", async () => {
      const { backend, seen } = scriptedBackend(() => [{ text: "Fine.", tokens: [1] }, lastChunk(1)]);
      const ask = (data: unknown, mediaType: string): Promise<{ text: string }> => {
        const file = { type: "file", mediaType, data } as never;
        const messages = [{ role: "user" as const, content: [{ type: "text" as const, text: "Read: " }, file] }];
        return generateText({ model: bitnet(backend), messages, maxRetries: 0 });
      };
      await expect(ask(new Uint8Array(3), "application/pdf")).rejects.toThrow(/reads text only.*application\/pdf/);
      if (version === "6") return;
      expect((await ask({ type: "text", text: "a tale" }, "text/plain")).text).toBe("Fine.");
      expect(seen.messages).toEqual([[{ role: "user", content: "Read: a tale" }]]);
    });

    test("says that it has no effort of reasoning to set", async () => {
      const options = { model: bitnet(model), prompt, maxOutputTokens: 1, reasoning: "high" as const };
      const { warnings } = await generateText(options);
      const expected = { type: "unsupported", feature: "reasoning" };
      expect(warnings).toEqual(version === "6" ? [] : [expect.objectContaining(expected)]);
      const none = await generateText({ ...options, reasoning: "none" });
      expect(none.warnings).toEqual([]);
    });

    test("stops when it is aborted", async () => {
      const controller = new AbortController();
      const options = { model: bitnet(model), prompt, maxRetries: 0, abortSignal: controller.signal };
      const answer = generateText({ ...options, providerOptions: { bitnet: { ignoreEos: true } } });
      setTimeout(() => controller.abort(), 20);
      await expect(answer).rejects.toThrow(AbortError);
      await allIsFree();
    });
  });

  describe("streamText", () => {
    test("streams what the model says", async () => {
      const expected = await model.generate(prompt, { maxTokens: 20, temperature: 0 });
      const stream = streamText({ model: bitnet(model), prompt, maxOutputTokens: 20, temperature: 0 });
      const pieces: string[] = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      expect(pieces.join("")).toBe(expected.text);
      expect(pieces.length).toBeGreaterThan(5);
      expect(await stream.finishReason).toBe("length");
      expect(await stream.usage).toMatchObject({ outputTokens: 20, inputTokens: expected.usage.promptTokens });
    });

    test("becomes an answer for a browser", async () => {
      const stream = streamText({ model: bitnet(model), prompt, maxOutputTokens: 5, temperature: 0 });
      const response = stream.toUIMessageStreamResponse();
      const body = await response.text();
      expect(response.headers.get("content-type")).toBe("text/event-stream");
      const kinds = body.match(/"type":"[a-z-]+"/g)?.map((each) => each.slice(8, -1));
      expect(kinds?.[0]).toBe("start");
      expect(kinds).toEqual(expect.arrayContaining(["text-start", "text-delta", "text-end", "finish"]));
    });

    test("tells of errors, and frees everything when the reader leaves", async () => {
      const errors: unknown[] = [];
      const failed = streamText({
        model: bitnet(model),
        prompt,
        temperature: -2,
        maxRetries: 0,
        onError: ({ error }) => void errors.push(error),
      });
      await failed.consumeStream();
      expect(errors[0]).toBeInstanceOf(InvalidOptionError);

      const endless = { model: bitnet(model, { ignoreEos: true }), prompt };
      const { stream } = await endless.model.doStream({
        prompt: [{ role: "user", content: [{ type: "text", text: "x" }] }],
      });
      const reader = stream.getReader();
      for (let i = 0; i < 5; i++) await reader.read();
      await reader.cancel();
      await allIsFree();

      const controller = new AbortController();
      const seen: string[] = [];
      const aborted = streamText({ ...endless, abortSignal: controller.signal });
      for await (const part of aborted.fullStream) {
        seen.push(part.type);
        if (part.type === "text-delta") controller.abort();
      }
      expect(seen).toContain("abort");
      await allIsFree();
    });

    test("fails where the model is closed under it", async () => {
      const other = await Model.load();
      const stream = streamText({ model: bitnet(other, { ignoreEos: true }), prompt, onError: () => undefined });
      const seen: string[] = [];
      for await (const part of stream.fullStream) {
        seen.push(part.type);
        if (part.type === "text-delta") await other.close();
      }
      expect(seen).toContain("error");
    });
  });

  describe("objects", () => {
    const schema = z.object({
      name: z.string().max(12),
      legs: z.int().min(0).max(8),
      colour: z.enum(["red", "black"]),
    });

    test("are valid for a schema, whole and streamed", async () => {
      for (let seed = 1; seed <= 5; seed++) {
        const { object } = await generateObject({ model: bitnet(model), prompt, schema, seed });
        expect(schema.parse(object)).toEqual(object);
        const stream = streamObject({ model: bitnet(model), prompt, schema, seed });
        for await (const partial of stream.partialObjectStream) expect(typeof partial).toBe("object");
        expect(await stream.object).toEqual(object);
        const output = await generateText({ model: bitnet(model), prompt, seed, output: Output.object({ schema }) });
        expect(output.output).toEqual(object);
      }
    });

    test("say when they were cut off, and when a schema cannot be kept", async () => {
      const cut = generateObject({ model: bitnet(model), prompt, schema, maxOutputTokens: 3, maxRetries: 0 });
      await expect(cut).rejects.toThrow(NoObjectGeneratedError);
      const odd = { model: bitnet(model), prompt, schema: z.object({ a: z.number().multipleOf(0.37) }), maxRetries: 0 };
      await expect(generateObject(odd)).rejects.toThrow(/multipleOf/);
    });
  });

  describe("tools", () => {
    const add = tool({
      description: "Adds one",
      inputSchema: z.object({ a: z.number() }),
      execute: ({ a }) => Promise.resolve(a + 1),
    });

    test("are called, answered and read by the model", async () => {
      const scripts: BackendChunk[][] = [
        [
          { text: "Let me see.", tokens: [1] },
          { text: "", tokens: [2], toolCalls: [{ index: 0, id: "call_1", name: "add", arguments: '{"a"' }] },
          { text: "", tokens: [3], toolCalls: [{ index: 0, arguments: ":1}" }] },
          lastChunk(3, "tool_calls"),
        ],
        [{ text: "It is 2.", tokens: [1] }, lastChunk(2)],
      ];
      for (const whole of [true, false]) {
        let turn = 0;
        const { backend, seen } = scriptedBackend(() => scripts[turn++] ?? []);
        const options = { model: bitnet(backend), prompt, tools: { add }, stopWhen: stepCountIs(3) };
        const result = whole ? await generateText(options) : streamText(options);
        const steps = await result.steps;
        expect(await result.text).toBe("It is 2.");
        expect(steps[0]?.toolCalls).toMatchObject([{ toolName: "add", toolCallId: "call_1", input: { a: 1 } }]);
        expect(steps[0]?.finishReason).toBe("tool-calls");
        expect(seen.tools[0]).toMatchObject([{ name: "add", description: "Adds one", parameters: { type: "object" } }]);
        expect(seen.messages[1]).toEqual([
          { role: "user", content: prompt },
          {
            role: "assistant",
            content: "Let me see.",
            toolCalls: [{ id: "call_1", name: "add", arguments: '{"a":1}' }],
          },
          { role: "tool", content: "2", toolCallId: "call_1" },
        ]);
      }
    });

    test("are streamed each from its beginning to its end", async () => {
      const call = (index: number, delta: string, begins = false): BackendChunk => ({
        ...{ text: "", tokens: [1] },
        toolCalls: [{ index, ...(begins ? { id: `call_${index}`, name: "add" } : {}), arguments: delta }],
      });
      const chunks = [
        { text: "First", tokens: [1] },
        ...[call(0, "", true), call(0, '{"a":{'), call(0, "}"), call(0, "}"), call(1, '{"a":2}', true)],
        { text: " then", tokens: [1] },
        ...[call(2, '{"a"', true), lastChunk(6, "length")],
      ];
      const { backend } = scriptedBackend(() => chunks);
      const parts: string[] = [];
      // Without `execute` nothing stands between the parts of the calls.
      const tools = { add: tool({ inputSchema: jsonSchema<object>({ type: "object" }) }) } as unknown as ToolSet;
      const stream = streamText({ model: bitnet(backend), prompt, tools });
      for await (const part of stream.fullStream) {
        const id = "toolCallId" in part ? part.toolCallId : "id" in part ? part.id : "";
        if (/^(text|tool)/.test(part.type)) parts.push(`${part.type} ${id}`);
      }
      const whole = (id: string, deltas: number): string[] => [
        `tool-input-start ${id}`,
        ...Array.from({ length: deltas }, () => `tool-input-delta ${id}`),
        `tool-input-end ${id}`,
        `tool-call ${id}`,
      ];
      expect(parts).toEqual([
        ...["text-start 0", "text-delta 0", "text-end 0"],
        ...[...whole("call_0", 3), ...whole("call_1", 1)],
        ...["text-start 1", "text-delta 1", "text-end 1"],
        // It was cut off, so there is nothing to call.
        ...whole("call_2", 1).slice(0, -1),
      ]);
      const result = await generateText({ model: bitnet(backend), prompt, tools });
      expect(result.toolCalls.map(({ toolCallId }) => toolCallId)).toEqual(["call_0", "call_1"]);
      expect(result.finishReason).toBe("length");
    });

    test("are chosen as the caller says", async () => {
      const { backend, seen } = scriptedBackend(({ toolChoice }) => {
        if (toolChoice === undefined) return [{ text: "No.", tokens: [1] }, lastChunk(1)];
        const call = { index: 0, id: "call_1", name: "add", arguments: '{"a":1}' };
        return [{ text: "", tokens: [1], toolCalls: [call] }, lastChunk(1, "tool_calls")];
      });
      for (const toolChoice of ["auto", "none", "required", { type: "tool", toolName: "add" }] as const) {
        await generateText({ model: bitnet(backend), prompt, tools: { add }, toolChoice });
      }
      expect(seen.options.map((each) => each.toolChoice)).toEqual(["auto", undefined, "required", { name: "add" }]);
      expect(seen.tools[1]).toBeUndefined();
    });
  });

  describe("embeddings", () => {
    test("are the model's vectors", async () => {
      const expected = await model.embed(["a cat", "a king"]);
      const { embeddings, usage } = await embedMany({ model: bitnetEmbedding(model), values: ["a cat", "a king"] });
      expect(embeddings).toEqual(expected.map((vector) => Array.from(vector)));
      const counts = await Promise.all(["a cat", "a king"].map((text) => model.tokenizer.encode(text)));
      expect(usage.tokens).toBe(counts.flatMap((each) => [...each]).length);
      const { embedding } = await embed({
        model: bitnetEmbedding(model, { pooling: "last" }),
        value: "a cat",
        providerOptions: { bitnet: { dimensions: 16 } },
      });
      const [short] = await model.embed("a cat", { pooling: "last", dimensions: 16 });
      expect(embedding).toEqual(Array.from(short ?? []));
      if (version === "6") return;
      const asked = { model: bitnetEmbedding(model, { pooling: "last" }), value: "a cat", dimensions: 16 };
      expect((await embed(asked)).embedding).toEqual(embedding);
    });

    test("refuse wrong options and stop when aborted", async () => {
      const options = { model: bitnetEmbedding(model), value: "x", maxRetries: 0 };
      await expect(embed({ ...options, providerOptions: { bitnet: { pool: "last" } } })).rejects.toThrow(
        InvalidOptionError,
      );
      await expect(embed({ ...options, abortSignal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    });
  });

  describe("createBitnet", () => {
    test("finds models by name, in a registry too", async () => {
      const local = createBitnet({ models: { tales: model }, settings: { temperature: 0 } });
      const expected = await model.generate(prompt, { maxTokens: 5, temperature: 0 });
      const registry = createProviderRegistry({ local });
      const [direct, registered] = await Promise.all([
        generateText({ model: local("tales"), prompt, maxOutputTokens: 5 }),
        generateText({ model: registry.languageModel("local:tales"), prompt, maxOutputTokens: 5 }),
      ]);
      expect([direct.text, registered.text]).toEqual([expected.text, expected.text]);
      expect(direct.response.modelId).toBe("tales");
      const { embedding } = await embed({ model: registry.embeddingModel("local:tales"), value: "x" });
      expect(embedding).toHaveLength(model.info.embeddingLength);
      // Each version has a class of its own of that name, which knows the others'.
      const failing = [() => local("other"), () => local("toString"), () => registry.imageModel("local:tales")];
      for (const find of failing) expect(NoSuchModelError.isInstance(errorOf(find))).toBe(true);
      expect(() => createBitnet({ models: { none: undefined as never } })).toThrow(InvalidOptionError);
    });

    test("goes under middleware and other names", async () => {
      const local = createBitnet({ models: { tales: model }, settings: { temperature: 0 } });
      const expected = await model.generate(prompt, { maxTokens: 5, temperature: 0 });
      const middleware = defaultSettingsMiddleware({ settings: { maxOutputTokens: 5 } });
      const short = wrapLanguageModel({ model: local("tales"), middleware });
      const named = customProvider({ languageModels: { short }, fallbackProvider: local });
      expect((await generateText({ model: named.languageModel("short"), prompt })).text).toBe(expected.text);
      const other = { model: named.languageModel("tales"), prompt, maxOutputTokens: 5 };
      expect((await generateText(other)).text).toBe(expected.text);
    });
  });
});
