/** Downloads from a server that behaves like the Hub, and misbehaves like the internet. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { AbortError, FileError, InvalidOptionError } from "../../../lib/errors";
import {
  cacheFolder,
  listCache,
  parseHubReference,
  pull,
  removeFromCache,
  type PullOptions,
} from "../../../lib/files/hub";
import { checkSpace } from "../../../lib/files/hub/download";
import { COMMIT, HubServer } from "../../helpers/hub_server";
import { uniform } from "../../helpers/random";
import { temporaryFolder } from "../../helpers/tiny_model";

const folder = temporaryFolder();
const random = uniform(11);
const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
const PART = 4096;
const MODEL = bytes(5 * PART + 123);
const FOLDER = {
  "config.json": Buffer.from("{}"),
  "tokenizer.json": bytes(700),
  "model-00001-of-00002.safetensors": bytes(3000),
  "model-00002-of-00002.safetensors": bytes(2000),
  "model.safetensors.index.json": Buffer.from(
    JSON.stringify({ weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } }),
  ),
  "1_Pooling/config.json": Buffer.from("{}"),
  "pytorch_model.bin": bytes(100),
  "onnx/model.onnx": bytes(100),
};
const server = new HubServer({
  "owner/one": { "model-i2_s.gguf": MODEL, "README.md": Buffer.from("hello") },
  "owner/two": { "a.gguf": MODEL, "sub/b.gguf": bytes(10) },
  "owner/folder": FOLDER,
  "owner/nothing": { "README.md": Buffer.from("hello") },
  "owner/hostile": { "../../../escape.gguf": bytes(10), "C:\\x.gguf": bytes(10) },
});
let caches = 0;

beforeAll(() => server.start());
afterAll(() => server.stop());
beforeEach(() => {
  server.requests.length = 0;
  server.faults.length = 0;
  server.listingFaults.length = 0;
  server.token = undefined;
});

function options(more: PullOptions = {}): PullOptions & { cache: string } {
  const cache = join(folder, String(caches++));
  const fast = { retryDelay: 1, stallTimeout: 400, partBytes: PART, offline: false };
  return { endpoint: server.endpoint, cache, ...fast, ...more };
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error("it succeeded"),
    (error: unknown) => error as Error,
  );

/** Ranges of the content that were sent, in the order of their starts. */
function ranges(): string[] {
  return server.requests.flatMap(({ host, range }) => (host === "cdn" && range ? [range] : []));
}

test("the only GGUF file comes in parts, through a redirect, into the cache's layout", async () => {
  const given = options();
  const progress: number[] = [];
  const model = await pull("hf:owner/one", { ...given, onProgress: ({ received }) => progress.push(received) });
  const repo = join(given.cache, "models--owner--one");
  expect(model).toEqual({
    path: join(repo, "snapshots", COMMIT, "model-i2_s.gguf"),
    repo: "owner/one",
    commit: COMMIT,
    files: ["model-i2_s.gguf"],
  });
  expect(readFileSync(model.path).equals(MODEL)).toBe(true);
  expect(lstatSync(model.path).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(repo, "refs", "main"), "utf8")).toBe(COMMIT);
  // Nothing but the blob is left: no parts, no state, no lock.
  expect(readdirSync(join(repo, "blobs"))).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  expect(ranges()).toHaveLength(6);
  expect(progress.at(-1)).toBe(MODEL.length);
  expect(progress.every((value, i) => i === 0 || value >= progress[i - 1]!)).toBe(true);
});

test("what is there is not fetched again", async () => {
  const given = options();
  await pull("hf:owner/one", given);
  server.requests.length = 0;
  await pull("hf:owner/one@v1", given);
  expect(server.requests.map(({ path }) => path)).toEqual([expect.stringContaining("/revision/v1")]);
  server.requests.length = 0;
  expect((await pull("hf:owner/one@v1", { ...given, cached: true })).commit).toBe(COMMIT);
  expect(server.requests).toEqual([]);
});

test("a folder: config, tokenizer and weights, checked by git's hash and SHA-256, and nothing else", async () => {
  const given = options();
  const model = await pull("hf:owner/folder", given);
  expect(model.path).toBe(join(given.cache, "models--owner--folder", "snapshots", COMMIT));
  expect([...model.files].sort()).toEqual(
    Object.keys(FOLDER)
      .filter((name) => !/bin|onnx/.test(name))
      .sort(),
  );
  for (const name of model.files) {
    expect(readFileSync(join(model.path, name)).equals(FOLDER[name as keyof typeof FOLDER])).toBe(true);
  }
});

test("cut, stalled, refused and busy connections go on where they were", async () => {
  const given = options();
  server.listingFaults.push(503, 429);
  server.faults.push("cut", 500, "stall", 429, "cut", 503);
  const model = await pull("hf:owner/one/model-i2_s.gguf", given);
  expect(readFileSync(model.path).equals(MODEL)).toBe(true);
  // After a cut only the rest of the part is asked for.
  expect(ranges().some((range) => Number(/\d+/.exec(range)?.[0]) % PART !== 0)).toBe(true);
});

test("an interrupted download keeps its parts", async () => {
  const given = options();
  const controller = new AbortController();
  const first = pull("hf:owner/one", {
    ...given,
    signal: controller.signal,
    onProgress: ({ received }) => {
      if (received > 4.5 * PART) controller.abort();
    },
  });
  expect(await failure(first)).toBeInstanceOf(AbortError);
  const blobs = join(given.cache, "models--owner--one", "blobs");
  expect(readdirSync(blobs).some((name) => name.endsWith("bitnet-part"))).toBe(true);
  expect(existsSync(join(given.cache, "models--owner--one", "snapshots"))).toBe(false);
  server.requests.length = 0;
  const model = await pull("hf:owner/one", given);
  expect(ranges().length).toBeLessThan(6);
  expect(ranges().length).toBeGreaterThan(0);
  expect(readFileSync(model.path).equals(MODEL)).toBe(true);
});

test("a corrupted part is caught, thrown away, and comes right the next time", async () => {
  const given = options();
  server.faults.push("corrupt");
  const error = await failure(pull("hf:owner/one", given));
  expect(error).toBeInstanceOf(FileError);
  expect(error.message).toMatch(/model-i2_s\.gguf came damaged/);
  expect(readdirSync(join(given.cache, "models--owner--one", "blobs"))).toEqual([]);
  expect(readFileSync((await pull("hf:owner/one", given)).path).equals(MODEL)).toBe(true);
});

test("a server that stays busy, or serves no parts, is given up with a reason", async () => {
  server.faults.push(...Array<number>(60).fill(503));
  expect((await failure(pull("hf:owner/one", options()))).message).toMatch(/503.*Tried 6 times/);
  server.faults.length = 0;
  server.faults.push(...Array<"ignore-range">(8).fill("ignore-range"));
  expect((await failure(pull("hf:owner/one", options()))).message).toMatch(/does not serve parts/);
});

test("the token goes to the Hub, and not to where it redirects", async () => {
  server.token = "hf_secret";
  const refused = await failure(pull("hf:owner/one", options({ token: "wrong" })));
  expect(refused.message).toMatch(/401.*HF_TOKEN/);
  server.requests.length = 0;
  await pull("hf:owner/one", options({ token: "hf_secret" }));
  expect(server.requests.every(({ host, authorization }) => (authorization !== undefined) === (host === "hub"))).toBe(
    true,
  );
});

test.each([
  ["hf:owner/absent", /no model "owner\/absent".*404/],
  ["hf:owner/one@absent", /revision "absent".*404/],
  ["hf:owner/one/absent.gguf", /no file "absent\.gguf".*model-i2_s\.gguf/],
  ["hf:owner/two", /2 GGUF files: "a\.gguf", "sub\/b\.gguf".*Name one/],
  ["hf:owner/nothing", /neither a GGUF file nor config\.json/],
  ["hf:owner/hostile", /neither a GGUF file nor config\.json/],
])("%s is refused", async (reference, message) => {
  const given = options();
  const error = await failure(pull(reference, given));
  expect(error).toBeInstanceOf(FileError);
  expect(error.message).toMatch(message);
  expect(existsSync(given.cache)).toBe(false);
});

test("nobody listens", async () => {
  const error = await failure(pull("hf:owner/one", options({ endpoint: "http://127.0.0.1:1" })));
  expect(error).toBeInstanceOf(FileError);
  expect(error.message).toMatch(/Cannot reach http:\/\/127\.0\.0\.1:1/);
});

test("offline: what is in the cache, or an error that says how", async () => {
  const given = options();
  expect((await failure(pull("hf:owner/one", { ...given, offline: true }))).message).toMatch(/not in the cache.*pull/);
  const online = await pull("hf:owner/one", given);
  const whole = await pull("hf:owner/folder", given);
  server.requests.length = 0;
  expect((await pull("hf:owner/one", { ...given, offline: true })).path).toBe(online.path);
  expect((await pull("hf:owner/folder", { ...given, offline: true })).path).toBe(whole.path);
  expect(server.requests).toEqual([]);
});

test("a file that another process is fetching is left alone; the lock of a dead one is not", async () => {
  const given = options();
  await pull("hf:owner/one", given);
  const blobs = join(given.cache, "models--owner--one", "blobs");
  const [blob = ""] = readdirSync(blobs);
  const fresh = options();
  const lock = join(fresh.cache, "models--owner--one", "blobs", `${blob}.bitnet-lock`);
  mkdirSync(join(lock, ".."), { recursive: true });
  const refusal = async (content: string): Promise<string> => {
    writeFileSync(lock, content);
    return (await failure(pull("hf:owner/one", fresh))).message;
  };
  expect(await refusal(`${process.ppid}\n${hostname()}`)).toMatch(
    /Process \d+ is downloading model-i2_s\.gguf already/,
  );
  expect(await refusal("1\nanother-machine")).toMatch(/Process 1 of "another-machine" is downloading/);
  // Gone: an id that no process has, this process's own id from an earlier life, another machine long ago.
  const minutesAgo = new Date(Date.now() - 60_000);
  for (const content of ["4194305", `${process.pid}\n${hostname()}`, "", "1\nanother-machine"]) {
    const again = options();
    const path = join(again.cache, "models--owner--one", "blobs", `${blob}.bitnet-lock`);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, content);
    utimesSync(path, minutesAgo, minutesAgo);
    expect(readFileSync((await pull("hf:owner/one", again)).path).equals(MODEL)).toBe(true);
    expect(existsSync(path)).toBe(false);
  }
  const twice = options();
  const both = await Promise.allSettled([pull("hf:owner/one", twice), pull("hf:owner/one", twice)]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("a list without an end is given up before it fills the memory", async () => {
  let sent = 0;
  const endless = createServer((_request, response) => {
    const more = (): void => {
      sent += 1 << 20;
      if (!response.destroyed) response.write(Buffer.alloc(1 << 20, 32), () => setImmediate(more));
    };
    more();
  });
  await new Promise<void>((resolve) => endless.listen(0, "127.0.0.1", resolve));
  try {
    const endpoint = `http://127.0.0.1:${(endless.address() as AddressInfo).port}`;
    expect((await failure(pull("hf:owner/one", { ...options(), endpoint }))).message).toMatch(/too long/);
    expect(sent).toBeLessThan(100 << 20);
  } finally {
    endless.closeAllConnections();
    await new Promise((resolve) => endless.close(resolve));
  }
});

test("list and remove", async () => {
  const given = options();
  await pull("hf:owner/one", given);
  await pull("hf:owner/two/sub/b.gguf", given);
  const [one, two] = await listCache(given.cache);
  expect(one).toMatchObject({
    repo: "owner/one",
    revisions: [{ commit: COMMIT, refs: ["main"], files: ["model-i2_s.gguf"] }],
  });
  expect(one!.bytes).toBeGreaterThanOrEqual(MODEL.length);
  expect(two).toMatchObject({ repo: "owner/two", revisions: [{ files: ["sub/b.gguf"] }] });
  expect(await removeFromCache(given.cache, "owner/one")).toBe(one!.bytes);
  expect((await listCache(given.cache)).map(({ repo }) => repo)).toEqual(["owner/two"]);
  expect(await removeFromCache(given.cache, "owner/one")).toBeUndefined();
});

test("references", () => {
  expect(parseHubReference("hf:a/b")).toEqual({ repo: "a/b", revision: "main" });
  expect(parseHubReference("hf:a/b/c/d.gguf@v1.0")).toEqual({ repo: "a/b", file: "c/d.gguf", revision: "v1.0" });
  for (const wrong of ["hf:a", "hf:a/", "hf:../b", "hf:a/b/../c", "hf:a/b@", "hf:a/b/c:d", "hf:a/b@../x", "a/b"]) {
    expect(() => parseHubReference(wrong)).toThrow(InvalidOptionError);
  }
});

test("where the cache is", () => {
  expect(cacheFolder({ HF_HUB_CACHE: "/x" })).toBe("/x");
  expect(cacheFolder({ HF_HOME: "/h" })).toBe(join("/h", "hub"));
  expect(cacheFolder({ XDG_CACHE_HOME: "/c", HF_HOME: "" })).toBe(join("/c", "huggingface", "hub"));
});

test("a disk without room is told before anything is fetched", async () => {
  await expect(checkSpace(join(folder, "not", "there", "yet"), 2 ** 60)).rejects.toThrow(
    /takes \d+ MiB.*free.*HF_HOME/,
  );
  await expect(checkSpace(folder, 1)).resolves.toBeUndefined();
});
