import { connect, type AddressInfo } from "node:net";
import { Model } from "../../lib";
import { checkLength } from "../../lib/server/length";
import { BUNDLED, errorOf, metric, startServer, until, type RunningServer } from "./helpers";

let running: RunningServer;
let model: Model;

beforeAll(async () => {
  model = await Model.load();
  running = await startServer({ models: [{ model }], bodyLimit: 65536, requestTimeout: 1000 });
});

afterAll(async () => {
  await running.server.close();
  await model.close();
});

const message = { role: "user", content: "Once" };
const CHAT = "/v1/chat/completions";

describe("bodies that are none", () => {
  test.each([
    ["no JSON", "{", "invalid_json"],
    ["nothing", "", "invalid_json"],
    ["text after the JSON", "{} {}", "invalid_json"],
    ["deep arrays", `{"messages":${"[".repeat(60_000)}`, "too_deep"],
    ["deep objects", `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`, "too_deep"],
    ["ill-formed UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), "invalid_encoding"],
    ["an array", "[]", "invalid_type"],
    ["a string", '"x"', "invalid_type"],
    ["null", "null", "invalid_type"],
  ])("%s", async (_name, body, code) => {
    const response = await running.post(CHAT, body);
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", code });
  });

  test("brackets in strings are no nesting", async () => {
    const content = "[".repeat(100) + '\\"{'.repeat(20);
    expect((await running.post(CHAT, { messages: [{ role: "user", content }], max_tokens: 1 })).status).toBe(200);
  });

  test("a body over the limit", async () => {
    const response = await running.post(CHAT, { messages: [{ role: "user", content: "x".repeat(70_000) }] });
    expect(response.status).toBe(413);
    expect((await errorOf(response)).type).toBe("invalid_request_error");
  });

  test("another content type is read as JSON all the same", async () => {
    const init = { headers: { "content-type": "text/plain" } };
    expect((await running.post(CHAT, { messages: [message], max_tokens: 1 }, init)).status).toBe(200);
  });
});

describe("fields", () => {
  test.each<[string, object, string, string]>([
    ["messages missing", { messages: undefined }, "messages", "missing_required_parameter"],
    ["messages empty", { messages: [] }, "messages", "array_below_min_length"],
    ["messages no array", { messages: "hi" }, "messages", "invalid_type"],
    ["a message that is null", { messages: [null] }, "messages[0]", "invalid_type"],
    ["an unknown role", { messages: [{ role: "root", content: "x" }] }, "messages[0].role", "invalid_value"],
    ["no content", { messages: [{ role: "user" }] }, "messages[0].content", "missing_required_parameter"],
    ["content a number", { messages: [{ role: "user", content: 5 }] }, "messages[0].content", "invalid_type"],
    [
      "an image",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0].type",
      "unsupported_parameter",
    ],
    [
      "a tool message that answers no call",
      { messages: [{ role: "tool", tool_call_id: "x", content: "" }] },
      "messages[0]",
      "invalid_value",
    ],
    ["temperature a string", { temperature: "hot" }, "temperature", "invalid_type"],
    ["temperature too high", { temperature: 2.1 }, "temperature", "integer_above_max_value"],
    ["top_p negative", { top_p: -0.1 }, "top_p", "integer_below_min_value"],
    ["max_tokens 0", { max_tokens: 0 }, "max_tokens", "integer_below_min_value"],
    ["max_tokens broken", { max_tokens: 1.5 }, "max_tokens", "invalid_type"],
    ["n too many", { n: 129 }, "n", "integer_above_max_value"],
    ["stop a number", { stop: 3 }, "stop", "invalid_type"],
    ["too many stops", { stop: Array(17).fill("x") }, "stop", "invalid_value"],
    ["logit_bias no id", { logit_bias: { abc: 1 } }, "logit_bias", "invalid_value"],
    ["logit_bias too large", { logit_bias: { 1: 101 } }, "logit_bias", "invalid_value"],
    ["logit_bias outside", { logit_bias: { 999999: 1 } }, "logit_bias", "invalid_value"],
    ["typical_p 0", { typical_p: 0 }, "typical_p", "integer_below_min_value"],
    ["mirostat a number", { mirostat: 2 }, "mirostat", "invalid_type"],
    ["an unknown sampler", { samplers: ["top_q"] }, "samplers", "invalid_value"],
    ["a sampler twice", { samplers: ["top_k", "topK"] }, "samplers", "invalid_value"],
    ["a breaker outside", { dry_breakers: [999999] }, "dry_breakers", "invalid_value"],
    ["logit_bias prototype", JSON.parse('{"logit_bias":{"__proto__":1}}') as object, "logit_bias", "invalid_value"],
    ["stream options without a stream", { stream_options: {} }, "stream_options", "invalid_value"],
    ["top_logprobs without logprobs", { top_logprobs: 2 }, "top_logprobs", "invalid_value"],
    ["an unknown field", { temprature: 1 }, "temprature", "unknown_parameter"],
    ["a prototype", JSON.parse('{"__proto__":{"stream":true}}') as object, "__proto__", "unknown_parameter"],
    ["constructor", { constructor: 1 }, "constructor", "unknown_parameter"],
    ["a choice without tools", { tool_choice: "required" }, "tool_choice", "invalid_value"],
    ["model a number", { model: 7 }, "model", "invalid_type"],
    [
      "two tools of a name",
      { tools: [1, 1].map(() => ({ type: "function", function: { name: "f" } })) },
      "tools",
      "invalid_value",
    ],
    [
      "a tool's bad name",
      { tools: [{ type: "function", function: { name: "a b" } }] },
      "tools[0].function.name",
      "invalid_value",
    ],
  ])("%s", async (_name, fields, param, code) => {
    const response = await running.post(CHAT, { model: BUNDLED, messages: [message], ...fields });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", param, code });
  });

  test("null counts as absent, and what makes no difference is taken", async () => {
    const nothing = { temperature: null, stop: null, n: null, response_format: null, tools: null, logit_bias: null };
    const harmless = { user: "u", metadata: { a: "b" }, store: true, response_format: { type: "text" } };
    const response = await running.post(CHAT, { messages: [message], max_tokens: 1, ...nothing, ...harmless });
    expect(response.status).toBe(200);
  });

  test.each([
    ["/v1/completions", {}, "prompt", "missing_required_parameter"],
    ["/v1/completions", { prompt: [] }, "prompt", "invalid_value"],
    ["/v1/completions", { prompt: [1, "a"] }, "prompt", "invalid_value"],
    ["/v1/completions", { prompt: [-1] }, "prompt", "invalid_value"],
    ["/v1/completions", { prompt: [999_999] }, "prompt", "invalid_value"],
    ["/v1/completions", { prompt: "x", best_of: 3 }, "best_of", "invalid_value"],
    ["/v1/completions", { prompt: "x", suffix: "y" }, "suffix", "unsupported_parameter"],
    ["/v1/responses", {}, "input", "missing_required_parameter"],
    ["/v1/responses", { input: [] }, "input", "invalid_value"],
    ["/v1/responses", { input: "x", previous_response_id: "r" }, "previous_response_id", "unsupported_parameter"],
    ["/v1/responses", { input: [{ type: "computer_call" }] }, "input[0].type", "unsupported_parameter"],
    ["/v1/embeddings", { input: "x", dimensions: 257 }, "dimensions", "invalid_value"],
    ["/v1/embeddings", { input: "x", encoding_format: "hex" }, "encoding_format", "invalid_value"],
    ["/v1/embeddings", { input: "once ".repeat(600) }, null, "context_length_exceeded"],
    ["/v1/embeddings", { input: [] }, "input", "invalid_value"],
    ["/tokenize", { text: 5 }, "text", "invalid_type"],
    ["/detokenize", { tokens: [1e9] }, "tokens", "invalid_value"],
  ])("%s %j", async (path, body, param, code) => {
    const response = await running.post(path, body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param, code });
  });

  test("text goes to ids and back", async () => {
    const text = "Once upon a time \u{1F600}";
    const { tokens } = (await (await running.post("/tokenize", { text })).json()) as { tokens: number[] };
    expect(tokens).toEqual([...(await model.tokenizer.encode(text))]);
    const back = (await (await running.post("/detokenize", { tokens })).json()) as { text: string };
    expect(back.text).toBe(model.tokenizer.decode(tokens));
  });
});

describe("paths and headers", () => {
  test.each([
    ["GET", "/v1/chat/completions", 404],
    ["GET", "/nothing", 404],
    ["GET", "/assets/..%2f..%2f..%2fpackage.json", 404],
    ["GET", "/assets/%2e%2e/%2e%2e/index.js", 404],
    ["GET", "/v1/models/..%2F..%2Fetc%2Fpasswd", 404],
    ["GET", "/v1/models/%E0%A4%A", 400],
    ["DELETE", "/v1/models", 404],
    ["TRACE", "/health", 404],
  ])("%s %s is %d", async (method, path, status) => {
    const answer = await raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).not.toContain('"node-bitnet"');
  });

  test("a request id is taken only where it is harmless", async () => {
    const id = async (given: string): Promise<string | null> =>
      (await running.get("/health", { headers: { "x-request-id": given } })).headers.get("x-request-id");
    expect(await id("abc-1.2_3")).toBe("abc-1.2_3");
    for (const bad of ["a b", "a;b", "x".repeat(65), "\u00e9"]) {
      expect(await id(bad)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test("headers cannot be smuggled in", async () => {
    const answer = await raw("GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rSet-Cookie: b=1\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).not.toMatch(/set-cookie/i);
  });

  test.each([
    ["two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400],
    ["a length and chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
    ["a chunk of no size", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400],
    ["a header without an end", `X-Long: ${"a".repeat(70_000)}\r\n\r\n`, 431],
    ["a compressed body", "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", 400],
    ["no content type", "Content-Length: 2\r\n\r\n{}", 400],
  ])("%s", async (_name, rest, status) => {
    const answer = await raw(`POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${rest}`);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  test("what a client says is never in a header of the answer", async () => {
    const model = "m\r\nSet-Cookie: a=1";
    for (const path of [CHAT, "/v1/completions", "/v1/embeddings"]) {
      const fields = { model, messages: [message], prompt: "x", input: "x" };
      const { [path === CHAT ? "prompt" : "messages"]: _unused, ...body } = fields as Record<string, unknown>;
      const response = await running.post(path, body);
      expect(response.headers.get("set-cookie")).toBeNull();
      expect(response.status).toBeGreaterThanOrEqual(400);
    }
    const answer = await raw(
      "GET /v1/models/a%0d%0aSet-Cookie:%20b=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 404 /);
    expect(answer.split("\r\n\r\n")[0]).not.toMatch(/set-cookie/i);
  });
});

describe("slow clients are cut off", () => {
  const HEAD = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n";

  test.each([
    ["a head that never ends", "GET /health HTTP/1.1\r\nHost: x\r\nX-A: "],
    ["a body that never ends", `${HEAD}Content-Length: 100\r\n\r\n{`],
    ["chunks that never end", `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`],
  ])("%s", async (_name, request) => expect(await raw(request)).toMatch(/^HTTP\/1.1 408 /), 20_000);

  test("a byte now and then does not help, and others are served meanwhile", async () => {
    const dripping = Promise.all([
      ...Array.from({ length: 50 }, () => raw("GET /health HTTP/1.1\r\nX-A: ", "a")),
      ...Array.from({ length: 50 }, () => raw(`${HEAD}Content-Length: 1000\r\n\r\n`, " ")),
    ]);
    const answer = await running.post("/v1/completions", { prompt: "Once", max_tokens: 3 });
    expect(answer.status).toBe(200);
    for (const each of await dripping) expect(each).toMatch(/^(HTTP\/1.1 408 |$)/);
  }, 30_000);
});

test("text that is no character is read all the same", async () => {
  const odd = '{"prompt":"a\\ud800b\\u0000c","max_tokens":2,"temperature":0}';
  const response = await running.post("/v1/completions", odd);
  expect(response.status).toBe(200);
  const expected = await model.generate("a\ud800b\u0000c", { maxTokens: 2, temperature: 0 });
  expect(((await response.json()) as { choices: { text: string }[] }).choices[0]?.text).toBe(expected.text);
});

test.each([
  [CHAT, { messages: [{ role: "user", content: "once ".repeat(600) }] }],
  ["/v1/completions", { prompt: "once ".repeat(600) }],
  ["/v1/completions", { prompt: "once ".repeat(600), stream: true }],
  ["/v1/responses", { input: "once ".repeat(600), stream: true }],
])("%s refuses a prompt beyond the context: %#", async (path, body) => {
  const response = await running.post(path, body);
  expect(response.status).toBe(400);
  expect(await errorOf(response)).toMatchObject({ code: "context_length_exceeded" });
});

test.each([
  ["/v1/completions", (text: string) => ({ prompt: text })],
  ["/v1/completions", (text: string) => ({ prompt: ["Once", text] })],
  ["/v1/embeddings", (text: string) => ({ input: text })],
  [CHAT, (text: string) => ({ messages: [{ role: "user", content: text }] })],
  [
    CHAT,
    (text: string) => ({
      messages: Array.from(text.match(/.{1,500}/gsu) ?? [], (content) => ({ role: "user", content })),
    }),
  ],
  ["/v1/responses", (text: string) => ({ input: "x", instructions: text })],
] as const)("%s does not read a text to its end that cannot fit: %#", async (path, body) => {
  const encode = jest.spyOn(model.tokenizer, "encode");
  const roomy = await startServer({ models: [{ model }] });
  try {
    const response = await roomy.post(path, body("a poor man had twelve children. ".repeat(30_000)));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: "context_length_exceeded" });
    for (const [text] of encode.mock.calls) expect(text.length).toBeLessThan(10_000);
  } finally {
    encode.mockRestore();
    await roomy.server.close();
  }
});

test("a long text that takes few tokens is read", async () => {
  const tokenizer = {
    ...model.tokenizer,
    encode: (text: string) => Promise.resolve(Int32Array.from(text.match(/x+|[^x]/g) ?? [], () => 5)),
  };
  await expect(checkLength({ tokenizer, contextLength: 10 }, "x".repeat(100_000))).resolves.toBeUndefined();
  await expect(checkLength({ tokenizer, contextLength: 10 }, "xy".repeat(1000))).rejects.toThrow(
    /more than \d+ tokens/,
  );
});

test("a thousand clients that vanish leave nothing behind", async () => {
  const vanish = async (_: unknown, i: number): Promise<void> => {
    const controller = new AbortController();
    const body = { prompt: `Once upon a time ${i}`, max_tokens: 400, ignore_eos: true, stream: i % 4 !== 0 };
    const answer = running.post("/v1/completions", body, { signal: controller.signal });
    // In the queue, while the prompt is read, before the first token, in the middle of a stream.
    if (i % 4 === 1) await (await answer).body?.getReader().read();
    else await new Promise((resolve) => setTimeout(resolve, (i % 7) * 5));
    controller.abort();
    await answer;
  };
  const memory: number[] = [];
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 4; i++) await Promise.allSettled(Array.from({ length: 50 }, vanish));
    await until(async () => (await metric(running, "bitnet_running_texts")) === 0);
    memory.push(process.memoryUsage().arrayBuffers);
  }
  expect(await metric(running, "bitnet_queue_length")).toBe(0);
  // Those who left before the server had read their head are not counted; those who had read something are.
  expect(await metric(running, "bitnet_aborted_requests_total")).toBeGreaterThanOrEqual(250);
  expect((memory.at(-1) ?? 0) - (memory[0] ?? 0)).toBeLessThan(8 * 2 ** 20);
  // What texts leave for others is no leak.
  await until(() => {
    model.clearPrefixCache();
    const { free, total } = model.stats().kvBlocks;
    return free === total;
  });
  // The model says afterwards what it said before.
  const answer = await running.post("/v1/completions", { prompt: "Once upon a time", temperature: 0, max_tokens: 8 });
  const expected = await model.generate("Once upon a time", { temperature: 0, maxTokens: 8 });
  expect(((await answer.json()) as { choices: { text: string }[] }).choices[0]?.text).toBe(expected.text);
}, 120_000);

/**
 * Sends bytes as they are and reads until the server closes.
 * @param drip sent again every 50 ms
 */
function raw(request: string, drip?: string): Promise<string> {
  const { port } = running.server.app.server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request, "latin1"));
    const timer = drip === undefined ? undefined : setInterval(() => socket.write(drip), 50);
    socket.setEncoding("latin1");
    socket.on("data", (data) => (answer += String(data)));
    socket.on("close", () => {
      clearInterval(timer);
      resolve(answer);
    });
    // A server that closes while it is written to resets the connection.
    socket.on("error", (error) => (drip === undefined ? reject(error) : resolve(answer)));
  });
}
