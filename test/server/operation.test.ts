import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import { InvalidOptionError, Model } from "../../lib";
import { bitnetPlugin, createHandler, createServer, type BackendChunk } from "../../lib/server";
import { configFromEnvironment, mergeConfigs, readConfigFile } from "../../lib/server/config";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import {
  BUNDLED,
  errorOf,
  lastChunk,
  metric,
  scriptedBackend,
  startServer,
  until,
  type RunningServer,
} from "./helpers";

const COMPLETIONS = "/v1/completions";

/** A backend whose texts go on until they are let go. */
function slowBackend(): ReturnType<typeof scriptedBackend> & { letGo: () => void } {
  let letGo = (): void => undefined;
  const gone = new Promise<void>((resolve) => (letGo = resolve));
  const scripted = scriptedBackend(async function* ({ signal }): AsyncGenerator<BackendChunk> {
    yield { text: "a", tokens: [97] };
    await Promise.race([
      gone,
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error))),
    ]);
    yield { text: "b", tokens: [98] };
    yield lastChunk(3);
  });
  return { ...scripted, letGo };
}

async function using(
  options: Parameters<typeof startServer>[0],
  use: (running: RunningServer) => Promise<void>,
): Promise<void> {
  const running = await startServer(options);
  try {
    await use(running);
  } finally {
    await running.server.close();
  }
}

describe("keys", () => {
  test("open only what probes and browsers need", async () => {
    await using({ apiKeys: ["key-number-one", "key-number-two"] }, async ({ get, post }) => {
      for (const path of ["/health", "/ready"]) expect((await get(path)).status).toBe(200);
      for (const path of ["/v1/models", "/metrics"]) expect((await get(path)).status).toBe(401);
      const withKey = (key: string): RequestInit => ({ headers: { authorization: key } });
      expect((await get("/v1/models", withKey("Bearer key-number-two"))).status).toBe(200);
      for (const bad of ["Bearer key-number-tw", "Bearer key-number-two2", "Basic key-number-one", "Bearer", ""]) {
        const response = await get("/v1/models", withKey(bad));
        expect(response.status).toBe(401);
        expect(await errorOf(response)).toMatchObject({ code: "invalid_api_key" });
      }
      expect((await post("/v1/chat/completions", "{")).status).toBe(401);
    });
  });

  test("weak ones are refused, without showing them", () => {
    expect(() => createServer({ apiKeys: ["hush"] })).toThrow(InvalidOptionError);
    expect(() => createServer({ apiKeys: ["hush"] })).not.toThrow(/hush/);
  });
});

describe("origins", () => {
  test("get no headers unless set", async () => {
    await using({}, async ({ get }) => {
      const { headers } = await get("/health", { headers: { origin: "https://a.example" } });
      expect(headers.get("access-control-allow-origin")).toBeNull();
    });
  });

  test("that are set may call, others may not", async () => {
    await using({ corsOrigins: ["https://a.example"] }, async ({ url, get }) => {
      const of = async (origin: string): Promise<string | null> =>
        (await get("/v1/models", { headers: { origin } })).headers.get("access-control-allow-origin");
      expect(await of("https://a.example")).toBe("https://a.example");
      expect(await of("https://b.example")).toBeNull();
      const preflight = await fetch(`${url}/v1/chat/completions`, {
        method: "OPTIONS",
        headers: {
          origin: "https://a.example",
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization",
        },
      });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    });
  });
});

describe("load", () => {
  test("waits in a queue, and beyond it gets 429 with Retry-After", async () => {
    const { backend, letGo, seen } = slowBackend();
    await using({ models: [{ id: "slow", backend }], maxConcurrent: 2, maxQueue: 1 }, async (running) => {
      const { post } = running;
      const send = (): Promise<Response> => post(COMPLETIONS, { prompt: "x" });
      const taken = [send(), send()];
      await until(() => seen.open === 2);
      const waiting = send();
      await until(async () => (await metric(running, "bitnet_queue_length")) === 1);
      const refused = await send();
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(await errorOf(refused)).toMatchObject({ type: "rate_limit_error", code: "queue_full" });
      letGo();
      for (const response of await Promise.all([...taken, waiting])) expect(response.status).toBe(200);
      await until(async () => (await metric(running, "bitnet_running_texts")) === 0);
    });
  });

  test("a client that leaves the queue frees its place; a wait that is too long ends", async () => {
    const { backend, letGo, seen } = slowBackend();
    const options = { models: [{ id: "slow", backend }], maxConcurrent: 1, maxQueue: 1, queueTimeout: 300 };
    await using(options, async (running) => {
      const { post } = running;
      const first = post(COMPLETIONS, { prompt: "x" });
      await until(() => seen.open === 1);
      const controller = new AbortController();
      const leaving = post(COMPLETIONS, { prompt: "x" }, { signal: controller.signal });
      await until(async () => (await metric(running, "bitnet_queue_length")) === 1);
      controller.abort();
      await expect(leaving).rejects.toThrow();
      await until(async () => (await metric(running, "bitnet_queue_length")) === 0);
      const late = await post(COMPLETIONS, { prompt: "x" });
      expect(late.status).toBe(503);
      expect(await errorOf(late)).toMatchObject({ code: "queue_timeout" });
      letGo();
      expect((await first).status).toBe(200);
    });
  });

  test("a rate limit counts per key", async () => {
    await using({ rateLimit: 2, apiKeys: ["key-number-one", "key-number-two"] }, async ({ post }) => {
      const send = (key: string): Promise<Response> =>
        post("/tokenize", { text: "x" }, { headers: { authorization: `Bearer ${key}` } });
      const statuses = [];
      const left = [];
      for (const key of ["one", "one", "one", "two"]) {
        const { status, headers } = await send(`key-number-${key}`);
        statuses.push(status);
        left.push(headers.get("x-ratelimit-remaining-requests"));
        expect(headers.get("x-ratelimit-limit-requests")).toBe("2");
        expect(headers.get("x-ratelimit-reset-requests")).toMatch(/^(30|60)s$/);
        expect(headers.has("retry-after")).toBe(status === 429);
      }
      expect(statuses).toEqual([200, 200, 429, 200]);
      expect(left).toEqual(["1", "0", "0", "1"]);
    });
  });

  test("a rate limit holds for those who try keys", async () => {
    await using({ rateLimit: 3, apiKeys: ["key-number-one"] }, async ({ get }) => {
      const statuses = [];
      for (let i = 0; i < 5; i++) {
        statuses.push((await get("/v1/models", { headers: { authorization: `Bearer guess-number-${i}` } })).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
      const known = await get("/v1/models", { headers: { authorization: "Bearer key-number-one" } });
      expect(known.status).toBe(200);
    });
  });

  test("an answer that takes too long ends: with 504, or as the stream's last event", async () => {
    const { backend } = slowBackend();
    await using({ models: [{ id: "slow", backend }], generationTimeout: 150 }, async ({ post }) => {
      expect((await post(COMPLETIONS, { prompt: "x" })).status).toBe(504);
      const text = await (await post(COMPLETIONS, { prompt: "x", stream: true })).text();
      expect(text).toContain('"text":"a"');
      expect(text).toContain('"code":"timeout"');
      expect(text).not.toContain("[DONE]");
    });
  });

  test("a client that stops reading is cut off", async () => {
    const { backend, seen } = scriptedBackend(function* () {
      for (;;) yield { text: "x".repeat(65536), tokens: [1] };
    });
    await using({ models: [{ id: "endless", backend }], stallTimeout: 100 }, async ({ post }) => {
      const response = await post(COMPLETIONS, { prompt: "x", stream: true });
      expect(response.status).toBe(200);
      await until(() => seen.options.length === 1 && seen.open === 0);
      await response.body?.cancel().catch(() => undefined);
    });
  });
});

describe("stopping", () => {
  test("finishes streams that began, refuses new ones, then closes", async () => {
    const { backend, letGo } = slowBackend();
    const running = await startServer({ models: [{ id: "slow", backend }] });
    const stream = await running.post(COMPLETIONS, { prompt: "x", stream: true });
    const drained = running.server.drain();
    expect((await running.get("/ready")).status).toBe(503);
    expect((await running.get("/health")).status).toBe(200);
    const refused = await running.post(COMPLETIONS, { prompt: "x" });
    expect(refused.status).toBe(503);
    expect(await errorOf(refused)).toMatchObject({ code: "shutting_down" });
    letGo();
    const text = await stream.text();
    expect(text).toContain('"text":"b"');
    expect(text).toContain("[DONE]");
    expect(await drained).toBe(0);
    await expect(running.get("/health")).rejects.toThrow();
  });

  test("cuts off what takes longer than the drain may", async () => {
    const { backend } = slowBackend();
    const running = await startServer({ models: [{ id: "slow", backend }], drainTimeout: 50 });
    const stream = await running.post(COMPLETIONS, { prompt: "x", stream: true });
    const text = stream.text();
    expect(await running.server.drain()).toBe(1);
    expect(await text).toContain("shutting_down");
  });
});

describe("models", () => {
  test("load when they are asked for, once, and are unloaded when they idle", async () => {
    const models = [{ id: "first" }, { id: "second", path: BUNDLED_MODEL_PATH, aliases: ["gpt-4o-mini"] }];
    await using({ models, idleUnload: 200 }, async ({ get, post }) => {
      const state = async (): Promise<(string | undefined)[]> => {
        const { data } = (await (await get("/v1/models")).json()) as { data: { state: string }[] };
        return data.map((each) => each.state);
      };
      expect(await state()).toEqual(["loaded", "unloaded"]);
      const ask = (model: string): Promise<Response> => post(COMPLETIONS, { model, prompt: "Once", max_tokens: 2 });
      const answers = await Promise.all([ask("second"), ask("gpt-4o-mini"), ask("second")]);
      for (const answer of answers) {
        expect(answer.status).toBe(200);
        expect(((await answer.json()) as { model: string }).model).toBe("second");
      }
      expect(await state()).toEqual(["loaded", "loaded"]);
      await until(async () => (await state())[1] === "unloaded");
      expect((await ask("second")).status).toBe(200);
    });
  });

  test("one that cannot be loaded gives 500 without naming its path, and stops the start when it is the first", async () => {
    const missing = { id: "missing", path: "/nonexistent/model.gguf" };
    await using({ models: [{}, missing] }, async ({ post }) => {
      const response = await post(COMPLETIONS, { model: "missing", prompt: "x" });
      expect(response.status).toBe(500);
      const error = await errorOf(response);
      expect(error.code).toBe("model_load_failed");
      expect(error.message).not.toContain("nonexistent");
    });
    await expect(startServer({ models: [missing] })).rejects.toThrow(/nonexistent/);
  });
});

test("metrics count requests, tokens and times, by pattern and not by path", async () => {
  const { backend } = scriptedBackend(() => [{ text: "a", tokens: [1] }, { text: "b", tokens: [2] }, lastChunk(3)]);
  await using({ models: [{ id: "m", backend }] }, async (running) => {
    await running.post(COMPLETIONS, { prompt: "x", n: 2 });
    await running.get("/whatever/path");
    const text = await (await running.get("/metrics")).text();
    expect(text).toContain('bitnet_http_requests_total{route="/v1/completions",method="POST",status="200"} 1');
    expect(text).toContain('bitnet_completion_tokens_total{model="m"} 6');
    expect(text).toContain('bitnet_prompt_tokens_total{model="m"} 3');
    expect(text).toContain('bitnet_prompt_tokens_cached_total{model="m"} 2');
    expect(text).toContain('bitnet_time_to_first_token_seconds_count{model="m"} 2');
    expect(text).toContain('bitnet_time_between_tokens_seconds_count{model="m"} 2');
    expect(text).toContain("bitnet_queue_seconds_count 1");
    expect(text).toContain('bitnet_kv_blocks{model="m",state="used"} 3');
    expect(text).toContain('bitnet_kv_blocks{model="m",state="cached"} 1');
    expect(text).toContain('bitnet_kv_blocks{model="m",state="free"} 4');
    expect(text).not.toContain("whatever");
  });
});

describe("in other applications", () => {
  let model: Model;
  beforeAll(async () => (model = await Model.load()));
  afterAll(() => model.close());
  const body = JSON.stringify({ prompt: "Once", max_tokens: 3 });

  test("as a Fastify plugin, which leaves the application's own ways alone", async () => {
    const app = Fastify();
    app.post("/own", ({ body }) => ({ own: body }));
    await app.register(bitnetPlugin, { prefix: "/llm", models: [{ model }], apiKeys: ["key-number-one"] });
    const url = await app.listen({ port: 0 });
    try {
      const headers = { authorization: "Bearer key-number-one", "content-type": "application/json" };
      expect((await fetch(`${url}/llm/v1/completions`, { method: "POST", headers, body })).status).toBe(200);
      expect((await fetch(`${url}/llm/health`)).status).toBe(200);
      expect((await fetch(`${url}/llm/v1/models`)).status).toBe(401);
      const own = await fetch(`${url}/own`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "[1]",
      });
      expect(await own.json()).toEqual({ own: [1] });
      const missing = (await (await fetch(`${url}/own-missing`)).json()) as { error: unknown };
      expect(missing.error).toBe("Not Found");
    } finally {
      await app.close();
    }
    // The model was the caller's and is still open.
    expect((await model.generate("Once", { maxTokens: 1 })).tokens).toHaveLength(1);
  });

  test("as a listener of Node's server", async () => {
    const handler = await createHandler({ models: [{ model }] });
    const http = createHttpServer(handler);
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    try {
      const response = await fetch(`${url}/v1/completions`, { method: "POST", body });
      expect(response.status).toBe(200);
      expect(((await response.json()) as { model: string }).model).toBe(BUNDLED);
    } finally {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await handler.close();
    }
  });
});

describe("settings", () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "bitnet-serve-"))));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("flags go before the environment, that before the file; paths in the file are relative to it", async () => {
    writeFileSync(join(folder, "keys"), "# keys\nfrom-the-key-file\n\n");
    const file = { port: 1, maxQueue: 2, host: "::1", models: [{ path: "m.gguf" }], apiKeysFile: "keys" };
    writeFileSync(join(folder, "config.json"), JSON.stringify(file));
    const fromFile = await readConfigFile(join(folder, "config.json"));
    const fromEnv = configFromEnvironment({
      BITNET_PORT: "3",
      BITNET_MAX_QUEUE: "4",
      BITNET_PAGE: "off",
      BITNET_HOST: "",
    });
    expect(await mergeConfigs([{ port: 5 }, fromEnv, fromFile])).toEqual({
      port: 5,
      maxQueue: 4,
      page: false,
      host: "::1",
      models: [{ path: join(folder, "m.gguf") }],
      apiKeys: ["from-the-key-file"],
    });
    expect(configFromEnvironment({ BITNET_MODELS: "a=/x/1.gguf, /y/2.gguf", BITNET_API_KEYS: "k1,k2" })).toEqual({
      models: [{ id: "a", path: "/x/1.gguf" }, { path: "/y/2.gguf" }],
      apiKeys: ["k1", "k2"],
    });
  });

  test("mistakes are named", async () => {
    writeFileSync(join(folder, "typo.json"), '{"maxQueu": 1}');
    await expect(readConfigFile(join(folder, "typo.json"))).rejects.toThrow(/maxQueue/);
    writeFileSync(join(folder, "broken.json"), "{");
    await expect(readConfigFile(join(folder, "broken.json"))).rejects.toThrow(InvalidOptionError);
    await expect(readConfigFile(join(folder, "none.json"))).rejects.toThrow(/none\.json/);
    writeFileSync(join(folder, "empty"), "# nothing\n");
    await expect(mergeConfigs([{ apiKeysFile: join(folder, "empty") }])).rejects.toThrow(/no keys/);
    await expect(mergeConfigs([{ tlsCert: "x" }])).rejects.toThrow(/--tls-key/);
    expect(() => configFromEnvironment({ BITNET_PORT: "x" })).toThrow(/BITNET_PORT/);
    expect(() => createServer({ port: 99_999 })).toThrow(/port/);
    expect(() => createServer({ corsOrigins: ["https://a.example/path"] })).toThrow(/origin/);
    expect(() => createServer({ models: [{ id: "a" }, { id: "a" }] })).toThrow(/"a"/);
    expect(() => createServer({ tls: { cert: "/nonexistent/c", key: "/nonexistent/k" } })).toThrow(/certificate/);
  });

  test("TLS files make it HTTPS", async () => {
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    const subject = ["-subj", "/CN=localhost", "-days", "2"];
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, ...subject],
      { stdio: "ignore" },
    );
    await using({ tls: { cert, key } }, async ({ url }) => {
      expect(url).toMatch(/^https:/);
      const status = await new Promise((resolve, reject) => {
        httpsRequest(`${url}/ready`, { rejectUnauthorized: false, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
      expect(status).toBe(200);
    });
  });
});
