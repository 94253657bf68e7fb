import * as fc from "fast-check";
import { createServer } from "../../../lib/server";
import { anyJson, damagedJson, edgeNumber, type Target } from "../target";

interface Input {
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  headers: Record<string, string>;
  body: unknown;
  /** The body as it is instead of as JSON. */
  raw: boolean;
}

const message = fc.record({
  role: fc.constantFrom("system", "user", "assistant", "tool", "root"),
  content: fc.oneof(fc.string(), anyJson),
});
const common = {
  model: fc.constantFrom("fairy-tales-5.8m-i2_s", "none"),
  max_tokens: fc.oneof(fc.integer({ min: -1, max: 4 }), edgeNumber),
  temperature: fc.oneof(fc.double(), edgeNumber),
  top_p: fc.double({ noDefaultInfinity: true }),
  n: fc.integer({ min: 0, max: 3 }),
  stream: fc.boolean(),
  stop: fc.oneof(fc.string(), fc.array(fc.string(), { maxLength: 5 })),
  seed: fc.integer(),
  logprobs: fc.oneof(fc.boolean(), fc.integer({ min: -1, max: 6 })),
  top_logprobs: fc.integer({ min: -1, max: 21 }),
  logit_bias: fc.dictionary(fc.string({ maxLength: 3 }), fc.double(), { maxKeys: 2 }),
  presence_penalty: fc.double({ min: -3, max: 3 }),
  response_format: fc.oneof(fc.constant({ type: "json_object" }), anyJson),
};
const body = fc.oneof(
  fc.record({ messages: fc.array(message, { maxLength: 3 }), ...common }, { requiredKeys: ["messages"] }),
  fc.record(
    {
      prompt: fc.oneof(fc.string(), fc.array(fc.string(), { maxLength: 3 }), fc.array(edgeNumber)),
      ...common,
      echo: fc.boolean(),
    },
    { requiredKeys: ["prompt"] },
  ),
  fc.record({
    input: fc.oneof(fc.string(), fc.array(fc.string()), anyJson),
    encoding_format: fc.constantFrom("float", "base64", "x"),
    text: fc.string(),
  }),
);

type Server = ReturnType<typeof createServer>;
let server: Promise<{ server: Server; url: string }> | undefined;

async function start(): Promise<{ server: Server; url: string }> {
  const made = createServer({ port: 0, logLevel: "silent", requestTimeout: 2000 });
  return { server: made, url: await made.listen() };
}

/** Requests to the server: no answer of its own fault, and errors in the form of the API. */
export const httpTarget: Target<Input> = {
  name: "http",
  covers: ["lib/server/"],
  weight: 2,
  inputs: fc.record({
    method: fc.constantFrom("POST", "POST", "POST", "GET", "PUT", "DELETE"),
    path: fc.oneof(
      fc.constantFrom(
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/models",
        "/v1/models/fairy-tales-5.8m-i2_s",
        "/tokenize",
        "/detokenize",
        "/health",
        "/ready",
        "/metrics",
        "/",
        "/dashboard",
      ),
      fc.webPath(),
    ),
    headers: fc.dictionary(
      fc.constantFrom("authorization", "accept", "x-request-id", "origin", "content-type", "content-encoding"),
      fc.string({ unit: "grapheme-ascii", maxLength: 12 }),
      { maxKeys: 2 },
    ),
    body: fc.oneof(body, damagedJson(body), anyJson, fc.string({ unit: "binary" })),
    raw: fc.nat(7).map((value) => value === 0),
  }),
  async check({ method, path, headers, body: content, raw }) {
    const { url } = await (server ??= start());
    const text = raw && typeof content === "string" ? content : JSON.stringify(content);
    let response: Response;
    try {
      // Joined as text: as a reference, a path that begins with two slashes would name another host.
      response = await fetch(`${new URL(url).origin}${path}`, {
        method,
        headers: { "content-type": "application/json", ...headers },
        ...(method === "GET" ? {} : { body: text }),
        signal: AbortSignal.timeout(3000),
      });
      const answer = await response.text();
      if (response.status === 500) throw new Error(`Status 500: ${answer.slice(0, 300)}`);
      const api =
        path.startsWith("/v1/") && response.status >= 400 && response.status !== 404 && response.status !== 405;
      if (api && typeof (JSON.parse(answer) as { error?: { message?: unknown } }).error?.message !== "string") {
        throw new Error(`Status ${response.status} without an error: ${answer.slice(0, 300)}`);
      }
    } catch (error) {
      // The client's own limit, or a request that cannot be made.
      if (error instanceof TypeError || (error as Error).name === "TimeoutError") return;
      throw error;
    }
    if ((await fetch(new URL("/health", url))).status !== 200) throw new Error("The server is not healthy any more");
  },
  async close() {
    await (await server)?.server.close();
    server = undefined;
  },
};
