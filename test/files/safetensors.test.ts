import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileError, ModelFormatError } from "../../lib/errors";
import { readSafetensors, readSafetensorsFolder } from "../../lib/files/safetensors";
import { temporaryFolder } from "../helpers/tiny_model";

const folder = temporaryFolder();
let files = 0;

/** A safetensors file: header text (padded as writers do) and data bytes. */
function bytesOf(header: unknown, data: number): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(data)]);
}

function fileOf(bytes: Buffer): string {
  const path = join(folder, `${files++}.safetensors`);
  writeFileSync(path, bytes);
  return path;
}

const entry = (dtype: string, shape: number[], begin: number, end: number): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const good = {
  __metadata__: { format: "pt" },
  b: entry("U8", [2, 3], 8, 14),
  a: entry("BF16", [2, 2], 0, 8),
  s: entry("F32", [], 14, 18),
};

test("names, types, shapes and places", async () => {
  const bytes = bytesOf(good, 18);
  const start = bytes.length - 18;
  const tensors = await readSafetensors(fileOf(bytes));
  expect([...tensors.keys()].sort()).toEqual(["a", "b", "s"]);
  expect(tensors.get("a")).toMatchObject({ dtype: "BF16", shape: [2, 2], offset: start, byteLength: 8 });
  expect(tensors.get("b")).toMatchObject({ dtype: "U8", shape: [2, 3], offset: start + 8, byteLength: 6 });
  expect(tensors.get("s")).toMatchObject({ shape: [], offset: start + 14, byteLength: 4 });
});

test("a file cut at any byte is refused", async () => {
  const bytes = bytesOf(good, 18);
  for (let length = 0; length < bytes.length; length++) {
    const error: unknown = await readSafetensors(fileOf(bytes.subarray(0, length))).catch((e: unknown) => e);
    expect([length, error instanceof ModelFormatError]).toEqual([length, true]);
  }
});

const hugeLength = Buffer.concat([Buffer.alloc(8, 0xff), Buffer.from("{}")]);
test.each<[string, Buffer, RegExp]>([
  ["a header length beyond the file", hugeLength, /header claims/],
  ["no JSON", bytesOf("{nonsense", 0), /JSON/],
  ["no object", bytesOf("[1, 2, 3]", 0), /does not start/],
  ["deep nesting", bytesOf(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, 0), /nests/],
  ["an unknown dtype", bytesOf({ a: entry("F12", [2], 0, 4) }, 4), /dtype "F12"/],
  ["a dtype of Object.prototype", bytesOf({ a: entry("toString", [2], 0, 4) }, 4), /dtype/],
  ["a negative size", bytesOf({ a: entry("U8", [-2], 0, 4) }, 4), /shape/],
  ["a fractional size", bytesOf({ a: entry("U8", [1.5], 0, 4) }, 4), /shape/],
  ["a product that overflows", bytesOf({ a: entry("U8", [2 ** 40, 2 ** 40], 0, 4) }, 4), /"a"/],
  ["a size that doesn't fit its shape", bytesOf({ a: entry("F32", [2], 0, 4) }, 4), /has 8 bytes/],
  ["offsets in reverse", bytesOf({ a: entry("U8", [4], 4, 0) }, 4), /data_offsets/],
  ["a tensor behind the end", bytesOf({ a: entry("U8", [4], 100, 104) }, 4), /of a file of/],
  ["an overlap", bytesOf({ a: entry("U8", [4], 0, 4), b: entry("U8", [4], 2, 6) }, 6), /"b" overlaps/],
  ["a hole", bytesOf({ a: entry("U8", [2], 0, 2), b: entry("U8", [2], 4, 6) }, 6), /hole/],
  ["bytes nobody owns", bytesOf({ a: entry("U8", [2], 0, 2) }, 6), /end at byte/],
])("%s", async (_, bytes, message) => {
  const error: unknown = await readSafetensors(fileOf(bytes)).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ModelFormatError);
  expect((error as Error).message).toMatch(message);
});

describe("folders", () => {
  const make = (contents: Record<string, Buffer | object>): string => {
    const path = join(folder, `folder${files++}`);
    mkdirSync(path);
    for (const [name, value] of Object.entries(contents)) {
      writeFileSync(join(path, name), Buffer.isBuffer(value) ? value : JSON.stringify(value));
    }
    return path;
  };
  const one = bytesOf({ a: entry("U8", [2], 0, 2) }, 2);
  const two = bytesOf({ b: entry("U8", [3], 0, 3) }, 3);
  const index = (map: Record<string, unknown>): object => ({ metadata: {}, weight_map: map });

  test("a single file", async () => {
    expect([...(await readSafetensorsFolder(make({ "model.safetensors": one }))).keys()]).toEqual(["a"]);
  });

  test("shards", async () => {
    const path = make({
      "model-1.safetensors": one,
      "model-2.safetensors": two,
      "model.safetensors.index.json": index({ a: "model-1.safetensors", b: "model-2.safetensors" }),
    });
    const tensors = await readSafetensorsFolder(path);
    expect(tensors.get("b")).toMatchObject({ path: join(path, "model-2.safetensors"), byteLength: 3 });
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "a tensor in another shard than stated",
      { a: "model-2.safetensors", b: "model-2.safetensors" },
      /"a" is not in shard/,
    ],
    ["a tensor the index leaves out", { b: "model-2.safetensors", a: "model-3.safetensors" }, /hold 3 tensors/],
    ["a shard outside of the folder", { a: "../model-1.safetensors" }, /names the shard/],
    ["a shard that is no name", { a: 7 }, /names the shard/],
  ])("%s is refused", async (_, map, message) => {
    const three = bytesOf({ a: entry("U8", [2], 0, 2), c: entry("U8", [1], 2, 3) }, 3);
    const path = make({
      "model-1.safetensors": one,
      "model-2.safetensors": two,
      "model-3.safetensors": three,
      "model.safetensors.index.json": index(map),
    });
    await expect(readSafetensorsFolder(path)).rejects.toThrow(message);
  });

  test("without weights", async () => {
    await expect(readSafetensorsFolder(make({}))).rejects.toThrow(FileError);
  });
});
