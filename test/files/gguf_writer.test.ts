import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AbortError, ConversionError, FileError } from "../../lib/errors";
import { readGguf, writeGguf, type GgufValue, type TensorSource } from "../../lib/files/gguf";
import { readGguf as readIndependently } from "../reference/gguf";
import { temporaryFolder } from "../helpers/tiny_model";

const folder = temporaryFolder();

const tensor = (name: string, length: number, bytes: number): TensorSource => ({
  name,
  dims: [length],
  format: "f32",
  data: () => [Buffer.alloc(bytes, name.charCodeAt(0))],
});

const metadata = new Map<string, GgufValue>([
  ["general.architecture", { type: "string", value: "bitnet" }],
  ["u8", { type: "uint8", value: 200 }],
  ["i64", { type: "int64", value: -(2n ** 62n) }],
  ["u64", { type: "uint64", value: 2n ** 64n - 1n }],
  ["f64", { type: "float64", value: 1 / 3 }],
  ["yes", { type: "bool", value: true }],
  ["numbers", { type: "array", elementType: "int16", value: Int16Array.of(-1, 2) }],
  ["strings", { type: "array", elementType: "string", value: ["a", "ß"] }],
  ["bools", { type: "array", elementType: "bool", value: [true, false] }],
]);

test("what is written is read back, and by an independent reader", async () => {
  const path = join(folder, "all.gguf");
  const size = await writeGguf(path, { metadata, tensors: [tensor("a", 3, 12), tensor("b", 9, 36)] });
  const bytes = readFileSync(path);
  expect(bytes.length).toBe(size);
  const gguf = await readGguf(path);
  for (const [key, entry] of metadata) {
    const found = gguf.metadata.get(key);
    expect(found?.type).toBe(entry.type);
    if (key === "strings") expect([...(found?.value as Iterable<string>)]).toEqual(entry.value);
    else expect(found?.value).toEqual(entry.value);
  }
  expect(gguf.tensors.map(({ name, dims }) => [name, dims])).toEqual([
    ["a", [3]],
    ["b", [9]],
  ]);
  const [a, b] = gguf.tensors;
  expect(bytes.subarray(a!.offset, a!.offset + 12).toString()).toBe("a".repeat(12));
  expect(bytes.subarray(b!.offset, b!.offset + 36).toString()).toBe("b".repeat(36));
  expect(readIndependently(path).metadata.get("general.architecture")).toBe("bitnet");
});

test.each<[string, TensorSource]>([
  ["too little data", tensor("a", 3, 8)],
  ["too much data", tensor("a", 3, 16)],
  ["a shape the type cannot have", { name: "a", dims: [40], format: "q8_0", data: () => [] }],
])("%s: an error, the old file untouched, nothing left behind", async (_, source) => {
  const inner = join(folder, `kept${Math.random()}`);
  await writeGguf(join(inner, "model.gguf"), { metadata, tensors: [] });
  const before = readFileSync(join(inner, "model.gguf"));
  await expect(writeGguf(join(inner, "model.gguf"), { metadata, tensors: [source] })).rejects.toThrow(ConversionError);
  expect(readdirSync(inner)).toEqual(["model.gguf"]);
  expect(readFileSync(join(inner, "model.gguf"))).toEqual(before);
});

test("an abort leaves nothing behind", async () => {
  const inner = join(folder, "aborted");
  const controller = new AbortController();
  const endless: TensorSource = {
    name: "a",
    dims: [1 << 24],
    format: "f32",
    *data() {
      for (let i = 0; i < 64; i++) {
        if (i === 3) controller.abort();
        yield Buffer.alloc(1 << 20);
      }
    },
  };
  const writing = writeGguf(join(inner, "a.gguf"), { metadata, tensors: [endless] }, { signal: controller.signal });
  await expect(writing).rejects.toThrow(AbortError);
  expect(readdirSync(inner)).toEqual([]);
});

test.each<[string, GgufValue]>([
  ["uint8", { type: "uint8", value: 256 }],
  ["int32", { type: "int32", value: 2 ** 31 }],
  ["uint32", { type: "uint32", value: 1.5 }],
  ["uint64", { type: "uint64", value: -1 }],
  ["string", { type: "string", value: 7 }],
])("a value that %s cannot hold is refused by key", async (_, value) => {
  const writing = writeGguf(join(folder, "x.gguf"), { metadata: new Map([["some.key", value]]), tensors: [] });
  await expect(writing).rejects.toThrow(/some\.key/);
});

test("a folder that cannot be made is a FileError", async () => {
  const blocker = join(folder, "file");
  writeFileSync(blocker, "");
  await expect(writeGguf(join(blocker, "x.gguf"), { metadata, tensors: [] })).rejects.toThrow(FileError);
});
