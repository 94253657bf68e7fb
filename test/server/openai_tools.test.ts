/* eslint-disable @typescript-eslint/no-deprecated -- clients send the older names, too */
/** The official client calls functions of the bundled model, which writes valid calls because it must. */
import OpenAI from "openai";
import { Model } from "../../lib";
import { BUNDLED, startServer, type RunningServer } from "./helpers";

const PROMPT = "Once upon a time";

let running: RunningServer;
let client: OpenAI;
let model: Model;

beforeAll(async () => {
  model = await Model.load();
  running = await startServer({ models: [{ model }] });
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: "unused-key", maxRetries: 0 });
});

afterAll(async () => {
  await running.server.close();
  await model.close();
});

const chat = { model: BUNDLED, messages: [{ role: "user" as const, content: PROMPT }], seed: 5 };

describe("tools", () => {
  const weather = {
    type: "function" as const,
    function: {
      name: "weather",
      description: "Tells the weather",
      parameters: {
        type: "object",
        properties: { city: { enum: ["Ulm", "Bonn"] }, days: { type: "integer", minimum: 1, maximum: 5 } },
        required: ["city", "days"],
        additionalProperties: false,
      },
    },
  };
  const clock = { type: "function" as const, function: { name: "clock" } };
  const asking = { ...chat, tools: [weather, clock], max_tokens: 120 };

  function check(name: string, text: string): void {
    const value = JSON.parse(text) as { city: string; days: number };
    if (name === "clock") {
      expect(value).toEqual({});
      return;
    }
    expect(name).toBe("weather");
    expect(Object.keys(value)).toEqual(["city", "days"]);
    expect(["Ulm", "Bonn"]).toContain(value.city);
    expect([1, 2, 3, 4, 5]).toContain(value.days);
  }

  test.each([1, 2, 3])("required: calls are valid, whole and streamed (seed %i)", async (seed) => {
    const body = { ...asking, seed, tool_choice: "required" as const, parallel_tool_calls: false };
    const whole = (await client.chat.completions.create(body)).choices[0];
    expect(whole).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const [call] = whole?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new Error("no call");
    check(call.function.name, call.function.arguments);
    const pieces = [];
    const stream = client.chat.completions.stream(body);
    for await (const { choices } of stream) pieces.push(...(choices[0]?.delta.tool_calls ?? []));
    expect(pieces[0]).toMatchObject({ index: 0, type: "function", function: { name: call.function.name } });
    expect(pieces.length).toBeGreaterThan(call.function.name === "clock" ? 1 : 4);
    const streamed = (await stream.finalChatCompletion()).choices[0]?.message.tool_calls?.[0];
    expect(streamed?.function).toMatchObject(call.function);
  });

  test("a named function is called, once", async () => {
    const { choices } = await client.chat.completions.create({
      ...asking,
      tool_choice: { type: "function", function: { name: "weather" } },
    });
    const calls = choices[0]?.message.tool_calls ?? [];
    expect(calls).toHaveLength(1);
    if (calls[0]?.type === "function") check(calls[0].function.name, calls[0].function.arguments);
  });

  test("none offers none; auto leaves the model its words", async () => {
    const plain = await client.chat.completions.create({ ...chat, max_tokens: 20 });
    const none = await client.chat.completions.create({ ...asking, max_tokens: 20, tool_choice: "none" });
    expect(none.choices[0]?.message).toEqual(plain.choices[0]?.message);
    expect(none.usage).toEqual(plain.usage);
    const auto = await client.chat.completions.create({ ...asking, max_tokens: 20 });
    expect(auto.choices[0]).toMatchObject({ finish_reason: "length" });
    expect(auto.choices[0]?.message.tool_calls).toBeUndefined();
  });

  test("results go back into the conversation, also as responses", async () => {
    const { choices } = await client.chat.completions.create({ ...asking, tool_choice: "required" });
    const message = choices[0]?.message;
    if (!message) throw new Error("no message");
    const results = (message.tool_calls ?? []).map(({ id }) => ({
      ...{ role: "tool" as const, tool_call_id: id, content: "sunny" },
    }));
    const next = await client.chat.completions.create({
      ...{ ...asking, max_tokens: 5 },
      messages: [...chat.messages, message, ...results],
    });
    expect(next.usage?.prompt_tokens).toBeGreaterThan(60);
    const response = {
      ...{ model: BUNDLED, input: PROMPT, max_output_tokens: 120, tool_choice: "required" as const },
      tools: [{ type: "function" as const, strict: true, ...weather.function }],
    };
    const [item] = (await client.responses.create(response)).output;
    if (item?.type !== "function_call") throw new Error("no call");
    check(item.name, item.arguments);
    const again = await client.responses.create({
      ...{ ...response, tool_choice: "auto" as const, max_output_tokens: 4 },
      input: [
        { role: "user", content: PROMPT },
        { ...item },
        { type: "function_call_output", call_id: item.call_id, output: "sunny" },
      ],
    });
    expect(again.output_text).not.toBe("");
  });

  test("a schema that cannot be held to is refused where it must be, else held to in part", async () => {
    const odd = {
      ...{ type: "object", required: ["n"], additionalProperties: false },
      properties: { n: { type: "number", multipleOf: 0.37 } },
    };
    const body = (strict: boolean): typeof asking & { tool_choice: "required" } => ({
      ...{ ...asking, tool_choice: "required" as const },
      tools: [{ type: "function", function: { name: "odd", parameters: odd, strict } as never }],
    });
    await expect(client.chat.completions.create(body(true))).rejects.toMatchObject({ status: 400 });
    const { choices } = await client.chat.completions.create({ ...body(false), parallel_tool_calls: false });
    const [call] = choices[0]?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new Error("no call");
    expect(typeof (JSON.parse(call.function.arguments) as { n: unknown }).n).toBe("number");
  });
});
