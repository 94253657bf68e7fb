import {
  createServer,
  type Backend,
  type BackendChunk,
  type BackendOptions,
  type ServerOptions,
} from "../../lib/server";
import type { BitnetServer } from "../../lib/server";

/** The id of the bundled model. */
export const BUNDLED = "fairy-tales-5.8m-i2_s";

/** A server on a free port of this machine. */
export interface RunningServer {
  server: BitnetServer;
  url: string;
  post: (path: string, body: unknown, init?: RequestInit) => Promise<Response>;
  get: (path: string, init?: RequestInit) => Promise<Response>;
}

export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const server = createServer({ port: 0, logLevel: "silent", ...options });
  const url = await server.listen();
  return {
    server,
    url,
    post: (path, body, init = {}) =>
      fetch(url + path, {
        method: "POST",
        body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", ...(init.headers as Record<string, string> | undefined) },
      }),
    get: (path, init) => fetch(url + path, init),
  };
}

/** OpenAI's error object of an answer. */
export async function errorOf(
  response: Response,
): Promise<{ message: string; type: string; param: unknown; code: unknown }> {
  const body = (await response.json()) as { error: { message: string; type: string; param: unknown; code: unknown } };
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error).sort()).toEqual(["code", "message", "param", "type"]);
  return body.error;
}

/** A number of /metrics; NaN if it is not there. */
export async function metric(
  { get }: RunningServer,
  name: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const text = await (await get("/metrics", { headers })).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `) || each.startsWith(`${name}{`));
  return Number(line?.split(" ").at(-1) ?? NaN);
}

/** Waits until something holds; fails after so many milliseconds. */
export async function until(holds: () => boolean | Promise<boolean>, limit = 10_000): Promise<void> {
  const end = Date.now() + limit;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error("It did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What a scripted backend was given. */
export interface Seen {
  options: BackendOptions[];
  messages: unknown[];
  tools: unknown[];
  /** Streams that were begun and not ended. */
  open: number;
}

/**
 * A backend that says what a script says and has every feature: for the HTTP side of what a model may lack. Its tokens
 * are UTF-16 units.
 */
export function scriptedBackend(
  script: (options: BackendOptions) => Iterable<BackendChunk> | AsyncIterable<BackendChunk>,
): { backend: Backend; seen: Seen } {
  const seen: Seen = { options: [], messages: [], tools: [], open: 0 };
  const backend: Backend = {
    features: new Set(["logprobs", "structured", "tools", "embeddings"]),
    contextLength: 100,
    vocabularySize: 65536,
    memoryBytes: 1,
    tokenizer: {
      encode: (text) => Promise.resolve(Int32Array.from(text, (each) => each.charCodeAt(0))),
      decode: (ids) => String.fromCharCode(...ids),
      tokenBytes: (id) => new TextEncoder().encode(String.fromCharCode(id)),
    },
    encodeChat: (messages, tools) => {
      seen.messages.push(messages);
      seen.tools.push(tools);
      return Promise.resolve({ tokens: [1, 2, 3], stop: [], stopTokens: [] });
    },
    stream: (_prompt, options) => {
      seen.options.push(options);
      return observed(script(options), seen);
    },
    embed: (inputs) => Promise.resolve(inputs.map((input) => Float32Array.of(input.length, 0.5))),
    stats: () => ({ kvBlocksUsed: 3, kvBlocksCached: 1, kvBlocksTotal: 8 }),
    close: () => Promise.resolve(),
  };
  return { backend, seen };
}

async function* observed(
  script: Iterable<BackendChunk> | AsyncIterable<BackendChunk>,
  seen: Seen,
): AsyncGenerator<BackendChunk, undefined> {
  seen.open++;
  try {
    yield* script;
  } finally {
    seen.open--;
  }
}

/** The last chunk of a text. */
export function lastChunk(
  tokens: number,
  finishReason: NonNullable<BackendChunk["finishReason"]> = "stop",
): BackendChunk {
  return {
    text: "",
    tokens: [],
    finishReason,
    usage: { promptTokens: 3, completionTokens: tokens, totalTokens: tokens + 3, cachedTokens: 2 },
  };
}
