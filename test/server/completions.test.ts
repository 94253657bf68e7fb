/** `/v1/completions` through OpenAI's client, against the bundled model. */
import OpenAI from "openai";
import { Model } from "../../lib";
import { BUNDLED, startServer, type RunningServer } from "./helpers";

const PROMPT = "Once upon a time";

let running: RunningServer;
let model: Model;
let client: OpenAI;

beforeAll(async () => {
  model = await Model.load();
  running = await startServer({ models: [{ model }] });
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: "unused", maxRetries: 0 });
});

afterAll(async () => {
  await running.server.close();
  await model.close();
});

test("completions take text, texts and token ids, and echo", async () => {
  const expected = await model.generate(PROMPT, { maxTokens: 16, seed: 5 });
  const ids = [...(await model.tokenizer.encode(PROMPT))];
  const options = { model: BUNDLED, seed: 5 };
  const one = await client.completions.create({ ...options, prompt: PROMPT });
  expect(one.choices[0]).toMatchObject({ text: expected.text, finish_reason: "length", index: 0, logprobs: null });
  expect(one.usage?.completion_tokens).toBe(16);
  const fromIds = await client.completions.create({ ...options, prompt: ids });
  expect(fromIds.choices[0]?.text).toBe(expected.text);
  const several = await client.completions.create({ ...options, prompt: ["The king", PROMPT], echo: true });
  expect(several.choices[0]?.text.startsWith("The king")).toBe(true);
  expect(several.choices[1]?.text).toBe(PROMPT + expected.text);
  let streamed = "";
  for await (const chunk of await client.completions.create({ ...options, prompt: PROMPT, stream: true })) {
    streamed += chunk.choices[0]?.text ?? "";
  }
  expect(streamed).toBe(expected.text);
});

test("an echo has the prompt's log-probabilities, and may come alone", async () => {
  const prompt = "The king said to";
  const ids = [...(await model.tokenizer.encode(prompt))];
  const logits = await model.evaluate(ids);
  const { vocabularySize } = model.info;
  const expected = ids.slice(1).map((id, i) => {
    const row = [...logits.subarray(i * vocabularySize, (i + 1) * vocabularySize)];
    const best = Math.max(...row);
    const sum = best + Math.log(row.reduce((total, value) => total + Math.exp(value - best), 0));
    return { own: (row[id] ?? NaN) - sum, best: best - sum };
  });
  const options = { model: BUNDLED, prompt, echo: true, logprobs: 1, temperature: 0 };
  const alone = await client.completions.create({ ...options, max_tokens: 0 });
  const [choice] = alone.choices;
  expect(choice).toMatchObject({ text: prompt, finish_reason: "length" });
  expect(alone.usage).toMatchObject({ prompt_tokens: ids.length, completion_tokens: 0 });
  const scores = choice?.logprobs;
  // The token in front of every text is no part of it.
  const [first, ...rest] = scores?.tokens ?? [];
  expect(first).toBe("<|begin_of_text|>");
  expect(rest.join("")).toBe(prompt);
  expect(scores?.text_offset).toEqual([0, ...rest.map((_, i) => rest.slice(0, i).join("").length)]);
  expect(scores?.token_logprobs?.[0]).toBeNull();
  expect(scores?.top_logprobs?.[0]).toBeNull();
  expected.forEach(({ own, best }, i) => {
    expect(scores?.token_logprobs?.[i + 1]).toBeCloseTo(own, 4);
    expect(Object.values(scores?.top_logprobs?.[i + 1] ?? {})).toEqual([expect.closeTo(best, 4)]);
  });
  // The same before an answer, whole and streamed.
  const whole = await client.completions.create({ ...options, max_tokens: 3 });
  const answered = whole.choices[0]?.logprobs;
  expect(answered?.token_logprobs?.slice(0, ids.length)).toEqual(scores?.token_logprobs);
  expect(answered?.tokens).toHaveLength(ids.length + 3);
  expect(answered?.tokens?.slice(1).join("")).toBe(whole.choices[0]?.text);
  const streamed: unknown[] = [];
  let text = "";
  for await (const { choices } of await client.completions.create({ ...options, max_tokens: 3, stream: true })) {
    text += choices[0]?.text ?? "";
    streamed.push(...(choices[0]?.logprobs?.text_offset ?? []));
  }
  expect(text).toBe(whole.choices[0]?.text);
  expect(streamed).toEqual(answered?.text_offset);
});
