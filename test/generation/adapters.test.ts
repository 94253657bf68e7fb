import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Model, toReadableStream, toResponse, type Chunk } from "../../lib";

let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

/** Nothing is computed any more, and no block of the KV cache is held. */
async function expectAllFree(): Promise<void> {
  // The step under way ends before another's.
  await model.generate(PROMPT, { maxTokens: 1 });
  model.clearPrefixCache();
  const { running, waiting, kvBlocks } = model.stats();
  expect([running, waiting, kvBlocks.free]).toEqual([0, 0, kvBlocks.total]);
}

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
    await expectAllFree();
  }
});

test("Node's streams read a text, wait for a slow writer, and end the work when they are destroyed", async () => {
  const { text } = await model.generate(PROMPT, OPTIONS);
  let written = "";
  const slow = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(chunk: Chunk, _encoding, done) {
      written += chunk.text;
      setImmediate(done);
    },
  });
  await pipeline(Readable.from(model.stream(PROMPT, OPTIONS)), slow);
  expect(written).toBe(text);

  const failing = new Writable({ objectMode: true, write: (_chunk, _encoding, done) => done(new Error("disk full")) });
  await expect(pipeline(Readable.from(model.stream(PROMPT, { ignoreEos: true })), failing)).rejects.toThrow(
    "disk full",
  );
  await expectAllFree();
});
