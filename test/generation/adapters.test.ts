import { Readable } from "node:stream";
import { Model, toReadableStream, toResponse, type Chunk } from "../../lib";

let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

const PROMPT = "Once upon a time";
const OPTIONS = { temperature: 0, maxTokens: 12 } as const;

test("a Web stream has the chunks of the text", async () => {
  const { text } = await model.generate(PROMPT, OPTIONS);
  let read = "";
  for await (const chunk of Readable.fromWeb(toReadableStream(model.stream(PROMPT, OPTIONS)) as never, {
    objectMode: true,
  })) {
    read += (chunk as Chunk).text;
  }
  expect(read).toBe(text);
});

test("a response sends events, and ends with [DONE]", async () => {
  const { text } = await model.generate(PROMPT, OPTIONS);
  const response = toResponse(model.stream(PROMPT, OPTIONS), { status: 201, headers: { "x-a": "b" } });
  expect([response.status, response.headers.get("x-a")]).toEqual([201, "b"]);
  expect(response.headers.get("content-type")).toMatch("text/event-stream");
  const events = (await response.text()).trim().split("\n\n");
  expect(events.at(-1)).toBe("data: [DONE]");
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event.replace(/^data: /, "")) as Chunk);
  expect(chunks.map((chunk) => chunk.text).join("")).toBe(text);
  expect(chunks.at(-1)).toMatchObject({ finishReason: "length" });
});

test("an error in the middle is an event", async () => {
  const body = await toResponse(model.stream(Array<number>(5000).fill(65))).text();
  expect(body).toMatch(/^event: error\ndata: .*ERR_CONTEXT_LENGTH/);
});

test("cancelling ends the work and frees its blocks", async () => {
  for (const wrap of [toReadableStream, (stream: never) => toResponse(stream).body]) {
    const body = wrap(model.stream(PROMPT, { ignoreEos: true }) as never);
    const reader = body!.getReader();
    await reader.read();
    await reader.cancel();
    await model.generate(PROMPT, { maxTokens: 1 });
    model.clearPrefixCache();
    const { running, waiting } = model.stats();
    expect([running, waiting]).toEqual([0, 0]);
  }
});
