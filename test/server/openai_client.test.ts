/* eslint-disable @typescript-eslint/no-deprecated -- clients send the older names, too */
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { Model, type GenerationOptions } from "../../lib";
import type { BackendChunk } from "../../lib/server";
import { BUNDLED, lastChunk, scriptedBackend, startServer, until, metric, type RunningServer } from "./helpers";

const KEY = "sk-test-0123456789";
const PROMPT = "Once upon a time";

let running: RunningServer;
let client: OpenAI;
let model: Model;

beforeAll(async () => {
  model = await Model.load();
  running = await startServer({ models: [{ model }], apiKeys: [KEY] });
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: KEY, maxRetries: 0 });
});

afterAll(async () => {
  await running.server.close();
  await model.close();
});

describe("the official client against the bundled model", () => {
  const chat = { model: BUNDLED, messages: [{ role: "user" as const, content: PROMPT }], seed: 5 };

  test("lists and retrieves models", async () => {
    const list = await client.models.list();
    expect(list.data.map(({ id, object }) => [id, object])).toEqual([[BUNDLED, "model"]]);
    expect((await client.models.retrieve(BUNDLED)).id).toBe(BUNDLED);
  });

  test("chat says what the model itself says", async () => {
    const expected = await model.generate(PROMPT, { maxTokens: 24, seed: 5 });
    const { choices, usage, object } = await client.chat.completions.create({ ...chat, max_completion_tokens: 24 });
    expect(object).toBe("chat.completion");
    expect(choices).toHaveLength(1);
    expect(choices[0]?.message).toMatchObject({ role: "assistant", content: expected.text });
    expect(choices[0]?.finish_reason).toBe("length");
    expect(usage).toMatchObject({
      prompt_tokens: expected.usage.promptTokens,
      completion_tokens: 24,
      total_tokens: expected.usage.promptTokens + 24,
    });
  });

  test("a stream has the same text in pieces, and usage at its end when asked for", async () => {
    const whole = await client.chat.completions.create({ ...chat, max_tokens: 24 });
    const stream = await client.chat.completions.create({
      ...chat,
      max_tokens: 24,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(
      whole.choices[0]?.message.content,
    );
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(chunks.length).toBeGreaterThan(10);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("length");
  });

  test("the client's own accumulator reads the stream", async () => {
    const stream = client.chat.completions.stream({ ...chat, max_tokens: 8 });
    const whole = await client.chat.completions.create({ ...chat, max_tokens: 8 });
    expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
  });

  test("n texts have seeds of their own, and each can be had again", async () => {
    const { choices, usage } = await client.chat.completions.create({
      ...chat,
      n: 3,
      max_tokens: 12,
      temperature: 1.5,
    });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    for (const [i, { message }] of choices.entries()) {
      const alone = await model.generate(PROMPT, { seed: 5 + i, maxTokens: 12, temperature: 1.5 });
      expect(message.content).toBe(alone.text);
    }
    expect(new Set(choices.map(({ message }) => message.content)).size).toBeGreaterThan(1);
    // The prompt counts once.
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + 36);
  });

  test("streams n texts side by side", async () => {
    const whole = await client.chat.completions.create({ ...chat, n: 2, max_tokens: 12, temperature: 1.5 });
    const texts = ["", ""];
    const stream = await client.chat.completions.create({
      ...chat,
      n: 2,
      max_tokens: 12,
      temperature: 1.5,
      stream: true,
    });
    for await (const { choices } of stream) {
      for (const { index, delta } of choices) texts[index] = `${texts[index]}${delta.content ?? ""}`;
    }
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
  });

  test("stop, penalties, logit_bias and our samplers reach the model", async () => {
    const greedy = { ...chat, temperature: 0, max_tokens: 30 };
    const plain = (await client.chat.completions.create(greedy)).choices[0]?.message.content ?? "";
    const word = plain.trim().split(" ")[3] ?? "";
    const stopped = (await client.chat.completions.create({ ...greedy, stop: [word] })).choices[0];
    expect(stopped?.message.content).toBe(plain.slice(0, plain.indexOf(word)));
    expect(stopped?.finish_reason).toBe("stop");

    const [first = 0] = (await model.generate(PROMPT, { temperature: 0, maxTokens: 1 })).tokens;
    const banned = await client.chat.completions.create({ ...greedy, max_tokens: 1, logit_bias: { [first]: -100 } });
    expect(banned.choices[0]?.message.content).not.toBe(model.tokenizer.decode([first], { continuation: true }));

    const ours = { repetition_penalty: 1.3, top_k: 5, min_p: 0.2, frequency_penalty: 0.5, presence_penalty: 0.5 };
    const expected = await model.generate(PROMPT, {
      ...{ repetitionPenalty: 1.3, topK: 5, minP: 0.2, frequencyPenalty: 0.5, presencePenalty: 0.5 },
      ...{ seed: 5, maxTokens: 30, temperature: 0.9, topP: 0.8 },
    });
    const sampled = await client.chat.completions.create({
      ...chat,
      max_tokens: 30,
      temperature: 0.9,
      top_p: 0.8,
      ...ours,
    });
    expect(sampled.choices[0]?.message.content).toBe(expected.text);
  });

  test.each<[object, GenerationOptions]>([
    [
      { typical_p: 0.5, top_n_sigma: 1.5 },
      { typicalP: 0.5, topNSigma: 1.5 },
    ],
    [
      { xtc_probability: 1, xtc_threshold: 0.05 },
      { xtcProbability: 1, xtcThreshold: 0.05 },
    ],
    [
      { dynamic_temperature_range: 0.5, dynamic_temperature_exponent: 1.5 },
      { dynamicTemperatureRange: 0.5, dynamicTemperatureExponent: 1.5 },
    ],
    [
      { mirostat: true, mirostat_tau: 3, mirostat_eta: 0.2 },
      { mirostat: true, mirostatTau: 3, mirostatEta: 0.2 },
    ],
    [
      { dry_multiplier: 3, dry_base: 2, dry_allowed_length: 1, dry_last_n: 64, dry_breakers: [5] },
      { dryMultiplier: 3, dryBase: 2, dryAllowedLength: 1, dryLastN: 64, dryBreakers: [5] },
    ],
    [
      { samplers: ["temperature", "top_k", "topP"], top_k: 8 },
      { samplers: ["temperature", "topK", "topP"], topK: 8 },
    ],
  ])("a sampler of ours: %j", async (fields, options) => {
    const expected = await model.generate(PROMPT, { ...options, seed: 9, maxTokens: 40, temperature: 1.2 });
    const without = await model.generate(PROMPT, { seed: 9, maxTokens: 40, temperature: 1.2 });
    const answer = await client.chat.completions.create({
      ...chat,
      ...fields,
      seed: 9,
      max_tokens: 40,
      temperature: 1.2,
    });
    expect(answer.choices[0]?.message.content).toBe(expected.text);
    expect(expected.text).not.toBe(without.text);
  });

  test("responses answer as text and as named events", async () => {
    const expected = await model.generate(PROMPT, { maxTokens: 12, temperature: 0 });
    const body = { model: BUNDLED, input: PROMPT, max_output_tokens: 12, temperature: 0 };
    const whole = await client.responses.create(body);
    expect(whole.output_text).toBe(expected.text);
    expect(whole).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    expect(whole.usage).toMatchObject({ input_tokens: expected.usage.promptTokens, output_tokens: 12 });
    const types: string[] = [];
    const numbers: number[] = [];
    let text = "";
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      if (types.at(-1) !== event.type) types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(text).toBe(expected.text);
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect(types).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.incomplete",
    ]);
    const final = await client.responses.stream(body).finalResponse();
    expect(final.output_text).toBe(expected.text);
  });

  test("errors are the client's own classes", async () => {
    const wrongKey = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
    await expect(wrongKey.models.list()).rejects.toBeInstanceOf(AuthenticationError);
    await expect(client.chat.completions.create({ ...chat, model: "gpt-9" })).rejects.toMatchObject({
      constructor: NotFoundError,
      status: 404,
      code: "model_not_found",
      param: "model",
    });
    const long = { ...chat, messages: [{ role: "user" as const, content: "once upon ".repeat(600) }] };
    for (const stream of [false, true]) {
      await expect(client.chat.completions.create({ ...long, stream })).rejects.toMatchObject({
        constructor: BadRequestError,
        code: "context_length_exceeded",
      });
    }
  });

  test("log-probabilities come with every token, the likeliest alternatives in falling order", async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      max_tokens: 8,
      logprobs: true,
      top_logprobs: 3,
    });
    const content = choices[0]?.logprobs?.content ?? [];
    expect(content.length).toBeGreaterThan(0);
    for (const { logprob, top_logprobs } of content) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top_logprobs).toHaveLength(3);
      const values = top_logprobs.map((entry) => entry.logprob);
      expect(values).toEqual([...values].sort((a, b) => b - a));
      // The alternatives are the whole vocabulary's best, so their probabilities sum to at most 1.
      expect(values.reduce((sum, value) => sum + Math.exp(value), 0)).toBeLessThanOrEqual(1.0001);
      expect(logprob).toBeLessThanOrEqual((values[0] as number) + 1e-6);
    }
  });

  test("a JSON schema holds the answer", async () => {
    const schema = {
      type: "object",
      properties: { kind: { enum: ["fox", "hen"] }, count: { type: "integer", minimum: 0, maximum: 9 } },
      required: ["kind", "count"],
      additionalProperties: false,
    };
    const { choices } = await client.chat.completions.create({
      ...chat,
      max_tokens: 60,
      response_format: { type: "json_schema", json_schema: { name: "animal", strict: true, schema } },
    });
    expect(choices[0]?.finish_reason).toBe("stop");
    const answer = JSON.parse(choices[0]?.message.content ?? "") as { kind: string; count: number };
    expect(Object.keys(answer).sort()).toEqual(["count", "kind"]);
    expect(["fox", "hen"]).toContain(answer.kind);
    expect(Number.isInteger(answer.count) && answer.count >= 0 && answer.count <= 9).toBe(true);
  });

  test("embeddings are the model's own, by floats and base64, in fewer dimensions where asked for", async () => {
    const input = ["Once upon a time", "The king", "x"];
    const expected = await model.embed(input);
    const { data, usage } = await client.embeddings.create({ model: BUNDLED, input });
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
    // The client asks for base64 and decodes it.
    expect(data.map(({ embedding }) => Float32Array.from(embedding))).toEqual(expected);
    const lengths = await Promise.all(input.map(async (text) => (await model.tokenizer.encode(text)).length));
    expect(usage.prompt_tokens).toBe(lengths.reduce((sum, each) => sum + each, 0));
    const floats = await client.embeddings.create({ model: BUNDLED, input, encoding_format: "float", dimensions: 64 });
    const cut = await model.embed(input, { dimensions: 64 });
    expect(floats.data.map(({ embedding }) => Float32Array.from(embedding))).toEqual(cut);
    const many = Array.from({ length: 2048 }, () => [1]);
    const all = await client.embeddings.create({ model: BUNDLED, input: many });
    expect(new Set(all.data.map(({ embedding }) => embedding.join())).size).toBe(1);
    expect(all.data).toHaveLength(2048);
  });

  test("an aborted stream stops the work", async () => {
    const before = await metric(running, "bitnet_aborted_requests_total", { authorization: `Bearer ${KEY}` });
    const stream = await client.chat.completions.create({ ...chat, stream: true, ignore_eos: true } as never);
    const iterable = stream as unknown as AsyncIterable<unknown> & { controller: AbortController };
    for await (const _ of iterable) break;
    await until(async () => (await metric(running, "bitnet_running_texts", { authorization: `Bearer ${KEY}` })) === 0);
    expect(await metric(running, "bitnet_aborted_requests_total", { authorization: `Bearer ${KEY}` })).toBe(before + 1);
    const controller = new AbortController();
    controller.abort();
    await expect(client.chat.completions.create(chat, { signal: controller.signal })).rejects.toBeInstanceOf(
      APIUserAbortError,
    );
  });
});

describe("the official client against a backend with every feature", () => {
  const weather = {
    type: "function" as const,
    function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  };

  async function withScript(
    script: Parameters<typeof scriptedBackend>[0],
    use: (client: OpenAI, seen: ReturnType<typeof scriptedBackend>["seen"], running: RunningServer) => Promise<void>,
  ): Promise<void> {
    const { backend, seen } = scriptedBackend(script);
    const started = await startServer({ models: [{ id: "scripted", backend }] });
    try {
      await use(new OpenAI({ baseURL: `${started.url}/v1`, apiKey: "unused-key", maxRetries: 0 }), seen, started);
    } finally {
      await started.server.close();
    }
  }

  const chat = { model: "scripted", messages: [{ role: "user" as const, content: "hi" }] };

  function* callWeather(): Generator<BackendChunk> {
    yield { text: "", tokens: [1], toolCalls: [{ index: 0, id: "call_1", name: "weather", arguments: "" }] };
    yield { text: "", tokens: [2], toolCalls: [{ index: 0, arguments: '{"city":' }] };
    yield { text: "", tokens: [3], toolCalls: [{ index: 0, arguments: '"Ulm"}' }] };
    yield lastChunk(3, "tool_calls");
  }

  test("tools: whole, streamed, and as responses", async () => {
    await withScript(callWeather, async (client, seen) => {
      const whole = await client.chat.completions.create({ ...chat, tools: [weather], tool_choice: "required" });
      const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Ulm"}' } };
      expect(whole.choices[0]).toMatchObject({
        finish_reason: "tool_calls",
        message: { role: "assistant", content: null, tool_calls: [call] },
      });
      expect(seen.tools[0]).toEqual([{ name: "weather", parameters: weather.function.parameters }]);
      expect(seen.options[0]).toMatchObject({ toolChoice: "required" });
      const streamed = await client.chat.completions.stream({ ...chat, tools: [weather] }).finalChatCompletion();
      expect(streamed.choices[0]?.message.tool_calls).toMatchObject([call]);

      const response = {
        model: "scripted",
        input: "hi",
        tools: [{ ...weather.function, type: "function" as const, strict: false }],
      };
      const output = [{ type: "function_call", call_id: "call_1", name: "weather", arguments: '{"city":"Ulm"}' }];
      expect((await client.responses.create(response)).output).toMatchObject(output);
      expect((await client.responses.stream(response).finalResponse()).output).toMatchObject(output);
    });
  });

  test("a conversation with calls and their results reaches the model whole", async () => {
    await withScript(
      () => [lastChunk(1)],
      async (client, seen) => {
        await client.chat.completions.create({
          model: "scripted",
          messages: [
            {
              role: "developer",
              content: [
                { type: "text", text: "be" },
                { type: "text", text: " brief" },
              ],
            },
            {
              role: "assistant",
              tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
            },
            { role: "tool", tool_call_id: "c", content: "42" },
          ],
        });
        const expected = [
          { role: "system", content: "be brief" },
          { role: "assistant", content: "", toolCalls: [{ id: "c", name: "f", arguments: "{}" }] },
          { role: "tool", content: "42", toolCallId: "c" },
        ];
        expect(seen.messages[0]).toEqual(expected);
        await client.responses.create({
          model: "scripted",
          instructions: "be brief",
          input: [
            { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
            { type: "function_call_output", call_id: "c", output: "42" },
          ],
        });
        expect(seen.messages[1]).toEqual(expected);
      },
    );
  });

  test("JSON schemas and log-probabilities", async () => {
    const scores = {
      token: 97,
      logprob: -0.5,
      top: [
        { token: 97, logprob: -0.5 },
        { token: 98, logprob: -Infinity },
      ],
    };
    await withScript(
      () => [{ text: "a", tokens: [97], logprobs: [scores] }, lastChunk(2)],
      async (client, seen) => {
        const schema = { type: "object", properties: { a: { type: "integer" } } };
        const whole = await client.chat.completions.create({
          ...chat,
          logprobs: true,
          top_logprobs: 2,
          response_format: { type: "json_schema", json_schema: { name: "x", schema } },
        });
        expect(seen.options[0]).toMatchObject({ logprobs: 2, format: { type: "json_schema", schema } });
        expect(whole.choices[0]?.logprobs?.content).toEqual([
          {
            ...{ token: "a", logprob: -0.5, bytes: [97] },
            top_logprobs: [
              { token: "a", logprob: -0.5, bytes: [97] },
              { token: "b", logprob: -9999, bytes: [98] },
            ],
          },
        ]);
        const text = await client.completions.create({ model: "scripted", prompt: "xy", logprobs: 2 });
        expect(text.choices[0]?.logprobs).toEqual({
          ...{ tokens: ["a"], token_logprobs: [-0.5], top_logprobs: [{ a: -0.5, b: -9999 }], text_offset: [0] },
        });
        // This backend cannot score a prompt, which is said and not left out.
        const scored = client.completions.create({ model: "scripted", prompt: "xy", echo: true, logprobs: 2 });
        await expect(scored).rejects.toMatchObject({ status: 400, param: "logprobs" });
      },
    );
  });

  test("embeddings as floats and as base64", async () => {
    await withScript(
      () => [],
      async (client) => {
        for (const encoding_format of ["float", "base64", undefined] as const) {
          const { data, usage } = await client.embeddings.create({
            ...{ model: "scripted", input: ["abc", "de"] },
            ...(encoding_format ? { encoding_format } : {}),
          });
          expect(usage.prompt_tokens).toBe(5);
          if (encoding_format !== "base64")
            expect(data.map(({ embedding }) => embedding)).toEqual([
              [3, 0.5],
              [2, 0.5],
            ]);
          else expect(Buffer.from(data[0]?.embedding as unknown as string, "base64").readFloatLE(0)).toBe(3);
        }
      },
    );
  });

  test("an error in the middle of a stream reaches the reader, and the text before it too", async () => {
    function* failing(): Generator<{ text: string; tokens: number[] }> {
      yield { text: "be", tokens: [1] };
      throw new Error("secret path /etc/x");
    }
    await withScript(failing, async (client) => {
      let text = "";
      const read = async (): Promise<void> => {
        for await (const chunk of await client.chat.completions.create({ ...chat, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? "";
        }
      };
      const error = await read().catch((thrown: unknown) => thrown as Error);
      expect(text).toBe("be");
      expect(error).toBeInstanceOf(OpenAI.APIError);
      expect((error as Error).message).not.toContain("secret");
    });
  });
});
