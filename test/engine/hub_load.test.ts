/** `Model.load("hf:...")` with a Hub of its own: fetched once, then taken from the cache. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Model } from "../../lib";
import { HubServer } from "../helpers/hub_server";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";
import { writeTinyFolder } from "../helpers/tiny_folder";

const folder = temporaryFolder();
const environment = { ...process.env };
let server: HubServer;

beforeAll(async () => {
  writeTinyModel(join(folder, "tiny.gguf"));
  writeTinyFolder(join(folder, "hf"), { family: "qwen3" });
  const names = ["config.json", "model.safetensors", "tokenizer.json"];
  server = new HubServer({
    "owner/gguf": { "tiny.gguf": readFileSync(join(folder, "tiny.gguf")) },
    "owner/folder": Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, "hf", name))])),
  });
  await server.start();
  process.env.HF_ENDPOINT = server.endpoint;
  process.env.HF_HOME = join(folder, "home");
  delete process.env.HF_HUB_CACHE;
  delete process.env.HF_TOKEN;
  delete process.env.HF_HUB_OFFLINE;
});
afterAll(async () => {
  process.env = environment;
  await server.stop();
});

test.each(["hf:owner/gguf", "hf:owner/folder", "hf:owner/gguf/tiny.gguf@main"])("%s", async (reference) => {
  const shares: number[] = [];
  for (const attempt of [0, 1]) {
    server.requests.length = 0;
    const model = await Model.load(reference, { threads: 1, onProgress: (share) => shares.push(share) });
    expect(model.info.path.startsWith(join(folder, "home", "hub", "models--owner--"))).toBe(true);
    await model.close();
    if (attempt === 1) expect(server.requests).toEqual([]);
  }
  expect(shares.every((share) => share >= 0 && share <= 1)).toBe(true);
});

test("what the Hub does not have is an error that names it", async () => {
  await expect(Model.load("hf:owner/absent")).rejects.toThrow(/owner\/absent.*404/);
  await expect(Model.load("hf:nonsense")).rejects.toThrow(/hf:owner\/name/);
});
