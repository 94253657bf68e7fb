/** The commands for model files: from the Hub to a text, through a conversion, and what they say about damage. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { HubServer } from "../helpers/hub_server";
import { run } from "../helpers/run_cli";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";
import { writeTinyFolder } from "../helpers/tiny_folder";

// Each command is a process that starts, and a busy machine is slow.
jest.setTimeout(120_000);

const folder = temporaryFolder();
const tiny = join(folder, "tiny.gguf");
writeTinyModel(tiny);
const server = new HubServer({ "owner/tiny": { "model.gguf": readFileSync(tiny) } });
let env: Record<string, string>;

beforeAll(async () => {
  await server.start();
  env = { HF_ENDPOINT: server.endpoint, HF_HOME: join(folder, "home"), HF_TOKEN: "", HF_HUB_CACHE: "" };
});
afterAll(() => server.stop());

test("pull, list, verify, generate offline, remove", async () => {
  const pulled = await run(["pull", "hf:owner/tiny"], { env });
  expect([pulled.code, pulled.err]).toEqual([0, ""]);
  const path = pulled.out.trim();
  expect(path.startsWith(join(folder, "home", "hub", "models--owner--tiny"))).toBe(true);
  expect(readFileSync(path).equals(readFileSync(tiny))).toBe(true);
  expect((await run(["list"], { env })).out).toMatch(/^hf:owner\/tiny .*model\.gguf$/m);
  const verified = await run(["verify", path], { env });
  expect(verified.out).toMatch(/ok +hash +SHA-256 is [0-9a-f]{64}, as it should be/);
  server.requests.length = 0;
  const offline = { ...env, HF_HUB_OFFLINE: "1" };
  const args = ["generate", "the", "--temperature", "0", "--max-tokens", "8", "--model"];
  const [fromHub, fromFile] = [await run([...args, "hf:owner/tiny"], { env: offline }), await run([...args, tiny])];
  expect([fromHub.code, fromHub.out]).toEqual([0, fromFile.out]);
  expect(server.requests).toEqual([]);
  expect((await run(["remove", "hf:owner/tiny"], { env })).code).toBe(0);
  expect((await run(["list"], { env })).out).toMatch(/^No models/);
  const gone = await run([...args, "hf:owner/tiny"], { env: offline });
  expect([gone.code, gone.out]).toEqual([1, ""]);
  expect(gone.err).toMatch(/not in the cache.*offline mode/);
});

test("convert, embed the lines of a pipe", async () => {
  const [input, output] = [join(folder, "llama"), join(folder, "llama.gguf")];
  writeTinyFolder(input, { family: "llama", headDim: 64 });
  const args = ["convert", input, output, "--type", "tq2_0", "--embedding-type", "q8_0", "--name", "A llama", "--json"];
  const { code, out } = await run(args);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ path: output, architecture: "llama" });
  await using model = await Model.load(output);
  expect(model.info.name).toBe("A llama");
  const texts = ["one", "two"];
  const options = ["--pooling", "mean", "--dimensions", "8"];
  const embedded = await run(["embed", "--model", output, ...options], { input: `${texts.join("\n")}\n` });
  const expected = await model.embed(texts, { pooling: "mean", dimensions: 8 });
  const lines = embedded.out.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line) as number[])).toEqual(expected.map((vector) => Array.from(vector)));
});

test("verify names what is damaged, and ends with 1", async () => {
  const damaged = join(folder, "damaged.gguf");
  const bytes = readFileSync(tiny);
  bytes.fill(0xff, bytes.length - 4096, bytes.length - 2048);
  writeFileSync(damaged, bytes);
  const { code, out, err } = await run(["verify", damaged, "--sha256", "0".repeat(64)]);
  expect(code).toBe(1);
  expect(out).toMatch(/FAILED +hash/);
  expect(out).toMatch(/FAILED +ternary weights +.*code 3/);
  expect(err).toMatch(/damaged\.gguf" failed: hash, ternary weights/);
});
