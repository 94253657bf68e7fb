/** What a file declares costs nothing: it is compared with what the file has before memory is taken for it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BitnetError, Model } from "../../lib";
import { writeTinyFolder } from "../helpers/tiny_folder";
import type { MetadataValue } from "../helpers/gguf_builder";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();
/** What refusing a small file may take: nothing like what was declared. */
const MOST_BYTES = 64 * 2 ** 20;

async function expectRefusal(path: string): Promise<void> {
  const before = process.memoryUsage().rss;
  const error = await Model.load(path, { threads: 1 }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BitnetError);
  expect((error as Error).message).toContain(path);
  expect(process.memoryUsage().rss - before).toBeLessThan(MOST_BYTES);
}

describe.each([
  "vocab_size",
  "context_length",
  "embedding_length",
  "block_count",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "rope.dimension_count",
  "expert_count",
])("GGUF: %s of", (key) => {
  test.each<MetadataValue>([
    { type: "u64", value: 2 ** 40 },
    { type: "u32", value: 1e9 },
    { type: "u64", value: 2 ** 53 },
    { type: "i32", value: -1 },
  ])("$value", async (value) => {
    const path = join(folder, "declared.gguf");
    writeTinyModel(path, { metadata: { [`bitnet-b1.58.${key}`]: value } });
    await expectRefusal(path);
  });
});

test.each([
  ["vocab_size", 2 ** 40],
  ["num_hidden_layers", 1e9],
  ["max_position_embeddings", 1e15],
  ["num_attention_heads", 1e9],
  ["num_key_value_heads", 1e9],
  ["hidden_size", 2 ** 40],
  ["intermediate_size", 2 ** 40],
])("config.json: %s of %i", async (key, value) => {
  const path = join(folder, key);
  mkdirSync(path);
  writeTinyFolder(path, { family: "bitnet", storage: "packed-divide" });
  const file = join(path, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  expect(config).toHaveProperty(key);
  writeFileSync(file, JSON.stringify({ ...config, [key]: value }));
  await expectRefusal(path);
});
