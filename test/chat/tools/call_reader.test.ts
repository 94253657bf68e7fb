/** Calls are found in a text however it is cut into chunks. */
import { CallReader } from "../../../lib/chat/tools/call_reader";
import { chooseToolFormat } from "../../../lib/chat/tools/format";
import { ChatTemplate } from "../../../lib/chat";
import { collectText, type Chunk } from "../../../lib/generation";
import { Random } from "../../../lib/sampling";
import { HERMES_TEMPLATE, LLAMA_TEMPLATE } from "./templates";

const hermes = chooseToolFormat(ChatTemplate.compile(HERMES_TEMPLATE), undefined);
const llama3 = chooseToolFormat(ChatTemplate.compile(LLAMA_TEMPLATE), undefined);
const usage = { promptTokens: 1, completionTokens: 1, totalTokens: 2, cachedTokens: 0 };
const timings = {
  ...{ promptTokensPerSecond: 1, decodeTokensPerSecond: 1, timeToFirstTokenMs: 1, totalMs: 1 },
  ...{ draftTokens: 0, acceptedDrafts: 0 },
};

/** The text cut at random, read, and put together again. */
async function read(
  format: typeof hermes,
  text: string,
  seed: number,
  finishReason: NonNullable<Chunk["finishReason"]> = "stop",
): Promise<{ chunks: Chunk[]; text: string; calls: unknown[]; finishReason: unknown }> {
  const random = new Random(seed);
  const reader = new CallReader(format);
  const chunks: Chunk[] = [];
  const take = (chunk: Chunk): void => {
    const made = reader.read(chunk);
    if (made) chunks.push(made);
  };
  let count = 0;
  for (let at = 0; at < text.length;) {
    const length = 1 + (random.nextUint32() % 7);
    take({ text: text.slice(at, at + length), tokens: [count++] });
    at += length;
  }
  take({ text: "", tokens: [], finishReason, usage, timings });
  async function* all(): AsyncGenerator<Chunk> {
    yield* await Promise.resolve(chunks);
  }
  const whole = await collectText(all());
  // No token is lost, whatever was held back.
  expect(whole.tokens).toEqual(Array.from({ length: count }, (_, i) => i));
  const calls = (whole.toolCalls ?? []).map(({ name, arguments: json }) => [name, JSON.parse(json) as unknown]);
  return { chunks, text: whole.text, calls, finishReason: whole.finishReason };
}

const WEATHER = { city: 'Ulm "}{]\\', days: [1, { deep: "</tool_call>" }] };
const call = (name: string, value: unknown): string =>
  `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${JSON.stringify(value)}}\n</tool_call>`;

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  "Hermes calls behind text, cut at random (%i)",
  async (seed) => {
    const text = `I look. <tool is no call>\n${call("weather", WEATHER)}\n${call("clock", {})}`;
    const result = await read(hermes, text, seed);
    expect(result).toMatchObject({
      text: "I look. <tool is no call>\n",
      calls: [
        ["weather", WEATHER],
        ["clock", {}],
      ],
      finishReason: "tool_calls",
    });
    const ids = result.chunks.flatMap(({ toolCalls = [] }) => toolCalls.flatMap(({ id }) => id ?? []));
    expect(new Set(ids).size).toBe(2);
  },
);

test.each(Array.from({ length: 40 }, (_, seed) => seed))("Llama calls, cut at random (%i)", async (seed) => {
  for (const lead of ["", "\n ", "<|python_tag|>"]) {
    const text = `${lead}{"name": "weather", "parameters": ${JSON.stringify(WEATHER)}}`;
    const result = await read(llama3, text, seed);
    expect(result).toMatchObject({ calls: [["weather", WEATHER]], finishReason: "tool_calls" });
    expect(result.text.trim()).toBe("");
  }
  // JSON that is the answer's own, and not at its beginning, is text.
  for (const text of ['Here: {"name": "weather", "parameters": {}}', '{"nam": 1}', '{"name']) {
    expect(await read(llama3, text, seed)).toMatchObject({ text, calls: [], finishReason: "stop" });
  }
});

test.each(["<tool_call> no call", "<tool_call>", "<tool_", "a <tool_call>\nx <tool_call>"])(
  "what begins like a call and is none stays text: %s",
  async (text) => {
    for (let seed = 0; seed < 20; seed++) expect(await read(hermes, text, seed)).toMatchObject({ text, calls: [] });
  },
);

test("a call that was cut off is none, and says so", async () => {
  const whole = call("weather", WEATHER);
  const result = await read(hermes, call("clock", {}) + whole.slice(0, whole.length - 30), 3, "length");
  expect(result).toMatchObject({ text: "", calls: [["clock", {}]], finishReason: "length" });
});

test("arguments come piece by piece", async () => {
  const { chunks } = await read(hermes, call("weather", { text: "a".repeat(200) }), 1);
  const pieces = chunks.flatMap(({ toolCalls = [] }) => toolCalls.map(({ arguments: piece }) => piece));
  expect(pieces.length).toBeGreaterThan(20);
  expect(JSON.parse(pieces.join(""))).toEqual({ text: "a".repeat(200) });
});
