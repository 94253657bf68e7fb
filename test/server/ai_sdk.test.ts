/* eslint-disable @typescript-eslint/no-deprecated -- applications use the older functions, too */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { Model } from "../../lib";
import type { BackendChunk } from "../../lib/server";
import { BUNDLED, lastChunk, scriptedBackend, startServer, type RunningServer } from "./helpers";

let running: RunningServer;
let model: Model;
let script: () => BackendChunk[] = () => [];

beforeAll(async () => {
  model = await Model.load();
  const { backend } = scriptedBackend(() => script());
  running = await startServer({ models: [{ model }, { id: "scripted", backend }] });
});

afterAll(async () => {
  await running.server.close();
  await model.close();
});

function provider(): ReturnType<typeof createOpenAICompatible> {
  return createOpenAICompatible({
    name: "node-bitnet",
    baseURL: `${running.url}/v1`,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
}

describe("the AI SDK's OpenAI-compatible provider", () => {
  const prompt = "Once upon a time";

  test("generates and streams what the model says", async () => {
    const expected = await model.generate(prompt, { maxTokens: 20, temperature: 0 });
    const options = { model: provider()(BUNDLED), prompt, maxOutputTokens: 20, temperature: 0 };
    const { text, usage, finishReason } = await generateText(options);
    expect(text).toBe(expected.text);
    expect(usage).toMatchObject({ inputTokens: expected.usage.promptTokens, outputTokens: 20 });
    expect(finishReason).toBe("length");
    const stream = streamText(options);
    let streamed = "";
    for await (const piece of stream.textStream) streamed += piece;
    expect(streamed).toBe(expected.text);
    expect((await stream.usage).outputTokens).toBe(20);
  });

  test("calls tools", async () => {
    script = () => [
      { text: "", tokens: [1], toolCalls: [{ index: 0, id: "call_1", name: "add", arguments: '{"a":1}' }] },
      lastChunk(2, "tool_calls"),
    ];
    const add = tool({
      inputSchema: jsonSchema<{ a: number }>({ type: "object", properties: { a: { type: "number" } } }),
      execute: ({ a }) => Promise.resolve(a + 1),
    });
    const { toolCalls, toolResults } = await generateText({ model: provider()("scripted"), prompt, tools: { add } });
    expect(toolCalls).toMatchObject([{ toolName: "add", input: { a: 1 } }]);
    expect(toolResults).toMatchObject([{ toolName: "add", output: 2 }]);
  });

  test("generates objects and embeds", async () => {
    script = () => [{ text: '{"name":"Ulm"}', tokens: [1] }, lastChunk(2)];
    const schema = jsonSchema({ type: "object", properties: { name: { type: "string" } }, required: ["name"] });
    expect((await generateObject({ model: provider()("scripted"), prompt, schema })).object).toEqual({ name: "Ulm" });
    const { embeddings } = await embedMany({ model: provider().embeddingModel("scripted"), values: ["ab", "c"] });
    expect(embeddings).toEqual([
      [2, 0.5],
      [1, 0.5],
    ]);
  });
});
