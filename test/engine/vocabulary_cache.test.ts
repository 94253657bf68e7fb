/** Tables of large vocabularies beside packed weights: the same tokens as without, and made anew where a file is not as it should be. */
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateSynthetic } from "../../bench/synthetic/generate";
import { PRESETS, type Shape } from "../../bench/synthetic/shapes";
import { Model } from "../../lib";
import { clearPacked, listPacked } from "../../lib/files/packed_folder";
import { readTables, writeTables, type Tables } from "../../lib/files/table_file";
import { MergeTable } from "../../lib/tokenizer/byte_level/merge_table";
import { temporaryFolder } from "../helpers/tiny_model";

jest.setTimeout(60_000);

const folder = temporaryFolder();
const path = join(folder, "large.gguf");
const other = join(folder, "other.gguf");
const text = "Once upon a time, 12345 wolves!\n\n\tlived in the wood \u00e9\u4e2d\u{1f43a} <|end|>".repeat(3);

const made = jest.spyOn(MergeTable, "read");

beforeAll(async () => {
  const tiny = PRESETS.tiny as Shape;
  const options = { deadGates: 0.5, seed: 1, name: "large" };
  await generateSynthetic(path, { ...options, shape: { ...tiny, vocabulary: 20_000 } });
  await generateSynthetic(other, { ...options, shape: { ...tiny, vocabulary: 20_001 } });
});

interface Run {
  tokens: number[];
  decoded: string;
  /** Whether the tables had to be made. */
  made: boolean;
}

async function run(packedCache: string | false, model = path): Promise<Run> {
  made.mockClear();
  await using loaded = await Model.load(model, { packedCache, threads: 1, kernel: "scalar" });
  const tokens = [...(await loaded.tokenizer.encode(text, { parseSpecial: true }))];
  const decoded = loaded.tokenizer.decode(tokens);
  return { tokens, decoded, made: made.mock.calls.length > 0 };
}

let counter = 0;
const freshFolder = (): string => join(folder, `cache-${counter++}`);

function vocabularyIn(cache: string): string {
  const [name, ...others] = readdirSync(cache).filter((each) => each.endsWith(".vocabulary"));
  expect(others).toEqual([]);
  return join(cache, name ?? "none");
}

test("the second load takes the tables of the first", async () => {
  const cache = freshFolder();
  const { made: _, ...expected } = await run(false);
  expect(await run(cache)).toEqual({ ...expected, made: true });
  expect(await run(cache)).toEqual({ ...expected, made: false });
  expect(await listPacked(cache)).toHaveLength(2);
  // Another vocabulary has a file of its own.
  expect((await run(cache, other)).made).toBe(true);
  expect((await run(cache, other)).made).toBe(false);
  expect(await run(cache)).toEqual({ ...expected, made: false });
  await clearPacked(cache);
  expect(readdirSync(cache)).toEqual([]);
});

test("a file that was damaged is of no use, and is written anew", async () => {
  const cache = freshFolder();
  const expected = await run(cache);
  const file = vocabularyIn(cache);
  const whole = readFileSync(file);
  const size = whole.length;
  for (const at of [0, 40, whole.indexOf("\n") + 1, Math.floor(size / 2), size - 1]) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    writeFileSync(file, damaged);
    expect(await run(cache)).toEqual(expected);
    expect(readFileSync(file).equals(whole)).toBe(true);
  }
  for (const length of [0, 10, size - 1]) {
    truncateSync(file, length);
    expect(await run(cache)).toEqual(expected);
    expect(statSync(file).size).toBe(size);
  }
});

test("nothing is kept of a vocabulary that is made quickly", async () => {
  const cache = freshFolder();
  await using model = await Model.load(undefined, { packedCache: cache, threads: 1 });
  await model.close();
  expect(await listPacked(cache)).toHaveLength(1);
});

test("tables of all kinds and lengths come back, for their key only", async () => {
  const file = join(folder, "some.tables");
  const tables: Tables = new Map<string, Uint8Array | Int32Array | Uint32Array>([
    ["bytes", Uint8Array.of(1, 2, 3)],
    ["none", new Int32Array(0)],
    ["signed", Int32Array.of(-1, 2 ** 31 - 1, 7)],
    ["a view", new Uint32Array(10).fill(2 ** 32 - 1).subarray(3, 8)],
  ]);
  const pause = jest.fn(() => Promise.resolve());
  await writeTables(file, "key \u00e9", tables);
  expect(await readTables(file, "key \u00e9", pause)).toEqual(tables);
  expect(pause).toHaveBeenCalled();
  expect(await readTables(file, "key", pause)).toBeUndefined();
  expect(await readTables(join(folder, "absent"), "key", pause)).toBeUndefined();
});
