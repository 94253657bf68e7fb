import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AbortError, BitnetError, FileError, ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { readGguf } from "../../lib/files/gguf";
import { buildGguf, type GgufToWrite } from "../helpers/gguf_builder";
import { temporaryFolder } from "../helpers/tiny_model";

const folder = temporaryFolder();
let files = 0;

/** Writes bytes to a new file. */
function fileOf(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.gguf`);
  writeFileSync(path, bytes);
  return path;
}

const small: GgufToWrite = {
  metadata: {
    "general.architecture": { type: "string", value: "bitnet" },
    "a.strings": { type: "strings", value: ["one", "", "zwei 🙂"] },
    "a.numbers": { type: "i32s", value: [1, -2, 3] },
    "a.flag": { type: "bool", value: true },
  },
  tensors: [
    { name: "norm", type: "F32", shape: [8], bytes: Buffer.alloc(32, 1) },
    { name: "codes", type: "I2_S", shape: [2, 128], bytes: Buffer.alloc(96, 2) },
    { name: "half", type: "F16", shape: [3, 16], bytes: Buffer.alloc(96, 3) },
  ],
};

/** GGUF bytes by hand, from the specification. */
const le = (bytes: number, value: bigint | number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return buffer.subarray(0, bytes);
};
const str = (text: string): Buffer => Buffer.concat([le(8, Buffer.byteLength(text)), Buffer.from(text)]);
const file = (pairs: Buffer[], tensors: Buffer[] = [], version = 3): Buffer =>
  Buffer.concat([
    Buffer.from("GGUF"),
    le(4, version),
    le(8, tensors.length),
    le(8, pairs.length),
    ...pairs,
    ...tensors,
  ]);
const pair = (key: string, type: number, value: Buffer): Buffer => Buffer.concat([str(key), le(4, type), value]);
const info = (name: string, dims: (bigint | number)[], type: number, offset: bigint | number): Buffer =>
  Buffer.concat([str(name), le(4, dims.length), ...dims.map((d) => le(8, d)), le(4, type), le(8, offset)]);
const withData = (header: Buffer, bytes: number): Buffer =>
  Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(bytes)]);

describe("reading", () => {
  test.each([2, 3] as const)("version %i: metadata, tensors and where their bytes are", async (version) => {
    const bytes = buildGguf({ ...small, version });
    const gguf = await readGguf(fileOf(bytes));
    expect(gguf.version).toBe(version);
    expect(gguf.metadata.get("general.architecture")).toEqual({ type: "string", value: "bitnet" });
    expect([...(gguf.metadata.get("a.strings")?.value as Iterable<string>)]).toEqual(["one", "", "zwei 🙂"]);
    expect(gguf.metadata.get("a.numbers")?.value).toEqual(Int32Array.of(1, -2, 3));
    expect(gguf.tensors.map(({ name, format, dims, byteLength }) => [name, format, dims, byteLength])).toEqual([
      ["norm", "f32", [8], 32],
      ["codes", "i2_s", [128, 2], 96],
      ["half", "f16", [16, 3], 96],
    ]);
    gguf.tensors.forEach(({ offset, byteLength }, i) => {
      expect(bytes.subarray(offset, offset + byteLength)).toEqual(small.tensors[i]!.bytes);
    });
  });

  test("an alignment other than 32", async () => {
    const gguf = await readGguf(fileOf(buildGguf({ ...small, alignment: 256 })));
    expect(gguf.alignment).toBe(256);
    expect(gguf.tensors.every(({ offset }) => offset % 256 === 0)).toBe(true);
  });

  test("every value type, to its limits", async () => {
    const f32 = Buffer.alloc(4);
    f32.writeFloatLE(0.5);
    const f64 = Buffer.alloc(8);
    f64.writeDoubleLE(-1e300);
    const nested = Buffer.concat([
      le(4, 9),
      le(8, 2),
      le(4, 4),
      le(8, 2),
      le(4, 7),
      le(4, 8),
      le(4, 8),
      le(8, 1),
      str("x"),
    ]);
    const gguf = await readGguf(
      fileOf(
        file([
          pair("u8", 0, le(1, 255)),
          pair("i8", 1, le(1, -1)),
          pair("u16", 2, le(2, 65535)),
          pair("i16", 3, le(2, -2)),
          pair("u32", 4, le(4, 4294967295)),
          pair("i32", 5, le(4, -3)),
          pair("f32", 6, f32),
          pair("bool", 7, le(1, 1)),
          pair("u64 small", 10, le(8, 2n ** 53n - 1n)),
          pair("u64 large", 10, le(8, 2n ** 64n - 1n)),
          pair("i64", 11, le(8, -(2n ** 63n))),
          pair("f64", 12, f64),
          pair("u64s", 9, Buffer.concat([le(4, 10), le(8, 1), le(8, 2n ** 63n)])),
          pair("bools", 9, Buffer.concat([le(4, 7), le(8, 2), le(1, 0), le(1, 1)])),
          pair("nested", 9, nested),
        ]),
      ),
    );
    const value = (key: string): unknown => gguf.metadata.get(key)?.value;
    expect([value("u8"), value("i8"), value("u16"), value("i16"), value("u32"), value("i32")]).toEqual([
      255, -1, 65535, -2, 4294967295, -3,
    ]);
    expect([value("f32"), value("f64"), value("bool")]).toEqual([0.5, -1e300, true]);
    expect([value("u64 small"), value("u64 large"), value("i64")]).toEqual([2 ** 53 - 1, 2n ** 64n - 1n, -(2n ** 63n)]);
    expect(value("u64s")).toEqual(BigUint64Array.of(2n ** 63n));
    expect(value("bools")).toEqual([false, true]);
    const [numbers, strings] = value("nested") as { elementType: string; value: Iterable<unknown> }[];
    expect([numbers!.elementType, [...numbers!.value]]).toEqual(["uint32", [7, 8]]);
    expect([strings!.elementType, [...strings!.value]]).toEqual(["string", ["x"]]);
  });

  test("strings that straddle the read window", async () => {
    const strings = Array.from({ length: 3000 }, (_, i) => `${i}:${"é".repeat(i % 97)}`);
    const long = "y".repeat(700_000);
    const gguf = await readGguf(
      fileOf(
        buildGguf({
          metadata: { list: { type: "strings", value: strings }, long: { type: "string", value: long } },
          tensors: [],
        }),
      ),
    );
    expect([...(gguf.metadata.get("list")?.value as Iterable<string>)]).toEqual(strings);
    expect(gguf.metadata.get("long")?.value).toBe(long);
  });
});

describe("type ids that several programs use", () => {
  const tensor = (type: number, dims: number[], bytes: number, architecture: string): string =>
    fileOf(withData(file([pair("general.architecture", 8, str(architecture))], [info("w", dims, type, 0)]), bytes));

  test.each([
    [36, [256, 4], 256 + 32, "bitnet-b1.58", "i2_s"],
    [36, [256, 4], 256 + 32, "llama", "i2_s"],
    [36, [256, 4], 4 * 8 * 18, "llama", "iq4_nl_4_4"],
    [38, [256, 4], 256 + 32, "bitnet", "tl1"],
    [39, [256, 32], 32 * 8 * 17, "gpt-oss", "mxfp4"],
    [39, [256, 32], 2048 + 32, "bitnet-b1.58", "tl2"],
    [42, [128, 32], 32 * 2 * 18, "qwen3", "q2_0_g64"],
    [42, [128, 32], 32 * 34, "qwen3", "q2_0_g128"],
  ])("id %i, %j, %i bytes in a %s file is %s", async (id, dims, bytes, architecture, format) => {
    expect((await readGguf(tensor(id, dims, bytes, architecture))).tensors[0]?.format).toBe(format);
  });

  test.each([
    ["of I2_S", 36, [256, 4], 256, ["w"]],
    ["of TL1", 38, [256, 4], 256, ["w"]],
    ["of TL2", 39, [256, 32], 2048, ["w"]],
    ["not where it stands elsewhere", 36, [256, 4], 256 + 32, ["w", "w_scale"]],
    ["not of a type that has none", 8, [256, 4], 4 * 8 * 34, ["w", "w_scale"]],
  ])("a scale in a tensor's tail is no tensor of its own: %s", async (_, type, dims, at, names) => {
    const header = file(
      [pair("general.architecture", 8, str("bitnet-b1.58"))],
      [info("w", dims, type, 0), info("w_scale", [], 0, at)],
    );
    const { tensors } = await readGguf(fileOf(withData(header, at + 32)));
    expect(tensors.map(({ name }) => name)).toEqual(names);
    expect(tensors[1]?.dims ?? [1]).toEqual([1]);
  });

  test("are refused when no meaning fits the size", async () => {
    await expect(readGguf(tensor(42, [128, 32], 5000, "qwen3"))).rejects.toThrow(/"w".*tl2 or q2_0_g64 or q2_0_g128/);
  });

  test("unknown ids are refused by name, and listed for inspection", async () => {
    const path = tensor(77, [32], 64, "llama");
    await expect(readGguf(path)).rejects.toThrow(UnsupportedModelError);
    await expect(readGguf(path)).rejects.toThrow(/tensor "w".*77/);
    expect((await readGguf(path, { allowUnknownTypes: true })).tensors[0]).toMatchObject({
      format: "unknown-77",
      byteLength: 64,
    });
  });
});

describe("damaged and hostile files", () => {
  const arr = (type: number, length: bigint | number, rest: Buffer = Buffer.alloc(0)): Buffer =>
    Buffer.concat([le(4, type), le(8, length), rest]);
  const deep = Buffer.concat([...Array.from({ length: 5000 }, () => arr(9, 1)), arr(0, 0)]);
  test.each<[string, Buffer, RegExp, typeof BitnetError]>([
    ["empty", Buffer.alloc(0), /not a GGUF file/, ModelFormatError],
    ["another format", Buffer.from("PK\u0003\u0004 something else"), /not a GGUF file/, ModelFormatError],
    ["version 1", file([], [], 1), /version 1/, UnsupportedModelError],
    [
      "big-endian",
      Buffer.concat([Buffer.from("GGUF"), Buffer.from([0, 0, 0, 3]), Buffer.alloc(16)]),
      /big-endian/,
      UnsupportedModelError,
    ],
    ["a future version", file([], [], 9), /version 9/, UnsupportedModelError],
    [
      "too many keys",
      Buffer.concat([Buffer.from("GGUF"), le(4, 3), le(8, 0), le(8, 2n ** 60n)]),
      /keys/,
      ModelFormatError,
    ],
    [
      "too many tensors",
      Buffer.concat([Buffer.from("GGUF"), le(4, 3), le(8, 2n ** 63n), le(8, 0)]),
      /tensors/,
      ModelFormatError,
    ],
    ["an endless string", file([pair("k", 8, le(8, 2n ** 64n - 1n))]), /"k\\?"/, ModelFormatError],
    ["an endless array", file([pair("k", 9, arr(0, 2n ** 62n))]), /"k\\?"/, ModelFormatError],
    ["an endless array of strings", file([pair("k", 9, arr(8, 2n ** 40n))]), /"k\\?"/, ModelFormatError],
    ["arrays without end in arrays", file([pair("k", 9, deep)]), /nests/, ModelFormatError],
    ["an unknown value type", file([pair("k", 13, le(8, 0))]), /value type 13/, ModelFormatError],
    ["an unknown element type", file([pair("k", 9, arr(99, 1, le(8, 0)))]), /value type 99/, ModelFormatError],
    ["a boolean of 2", file([pair("k", 7, le(1, 2))]), /boolean/, ModelFormatError],
    ["a key twice", file([pair("k", 4, le(4, 1)), pair("k", 4, le(4, 1))]), /"k" stands twice/, ModelFormatError],
    [
      "a tensor twice",
      withData(file([], [info("t", [8], 0, 0), info("t", [8], 0, 32)]), 64),
      /"t" stands twice/,
      ModelFormatError,
    ],
    ["five dimensions", withData(file([], [info("t", [1, 1, 1, 1, 1], 0, 0)]), 64), /5 dimensions/, ModelFormatError],
    ["an empty dimension", withData(file([], [info("t", [8, 0], 0, 0)]), 64), /shape \[8, 0\]/, ModelFormatError],
    [
      "dimensions that overflow",
      withData(file([], [info("t", [2n ** 32n, 2n ** 32n], 0, 0)]), 64),
      /impossible shape/,
      ModelFormatError,
    ],
    [
      "a dimension beyond 2^53",
      withData(file([], [info("t", [2n ** 63n], 0, 0)]), 64),
      /impossible shape/,
      ModelFormatError,
    ],
    [
      "rows that don't fill blocks",
      withData(file([], [info("t", [40], 8, 0)]), 64),
      /q8_0 cannot have/,
      ModelFormatError,
    ],
    [
      "an unaligned offset",
      withData(file([], [info("t", [8], 0, 8)]), 64),
      /multiple of the alignment/,
      ModelFormatError,
    ],
    [
      "an offset behind the file",
      withData(file([], [info("t", [8], 0, 2n ** 40n)]), 64),
      /starts at byte/,
      ModelFormatError,
    ],
    ["an offset that wraps", withData(file([], [info("t", [8], 0, 2n ** 64n - 32n)]), 64), /"t"/, ModelFormatError],
    [
      "a tensor larger than the file",
      withData(file([], [info("t", [64], 0, 0)]), 64),
      /needs 256 bytes/,
      ModelFormatError,
    ],
    [
      "tensors that overlap",
      withData(file([], [info("t", [16], 0, 0), info("u", [8], 0, 32)]), 64),
      /"t".*needs 64/,
      ModelFormatError,
    ],
    [
      "an alignment of 0",
      withData(file([pair("general.alignment", 4, le(4, 0))]), 64),
      /general\.alignment/,
      ModelFormatError,
    ],
    [
      "an alignment of 48",
      withData(file([pair("general.alignment", 4, le(4, 48))]), 64),
      /power of two/,
      ModelFormatError,
    ],
    [
      "an alignment in words",
      withData(file([pair("general.alignment", 8, str("32"))]), 64),
      /power of two/,
      ModelFormatError,
    ],
  ])("%s", async (_, bytes, message, type) => {
    const path = fileOf(bytes);
    const error: unknown = await readGguf(path).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(type);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
  });

  test("a file cut at any byte is refused", async () => {
    const bytes = buildGguf(small);
    for (let length = 0; length < bytes.length; length++) {
      const error: unknown = await readGguf(fileOf(bytes.subarray(0, length))).catch((e: unknown) => e);
      expect([length, error instanceof ModelFormatError]).toEqual([length, true]);
    }
  });

  test("any changed header byte gives a typed error or a file that is sound in itself", async () => {
    const bytes = buildGguf(small);
    const { dataOffset } = await readGguf(fileOf(bytes));
    for (let at = 0; at < dataOffset; at++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= change;
        try {
          const gguf = await readGguf(fileOf(changed));
          for (const { offset, byteLength } of gguf.tensors)
            expect(offset + byteLength).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          if (!(error instanceof BitnetError)) throw error;
        }
      }
    }
  });
});

describe("files that cannot be read", () => {
  test("a missing file and a folder", async () => {
    await expect(readGguf(join(folder, "none.gguf"))).rejects.toThrow(FileError);
    await expect(readGguf(folder)).rejects.toThrow(/not a regular file/);
  });

  (process.platform === "win32" ? test.skip : test)("a pipe, without waiting for a writer", async () => {
    const pipe = join(folder, "pipe.gguf");
    execFileSync("mkfifo", [pipe]);
    await expect(readGguf(pipe)).rejects.toThrow(/not a regular file/);
  });

  test("abort before and while reading", async () => {
    const strings = Array.from({ length: 200_000 }, (_, i) => `token ${i}`);
    const path = fileOf(buildGguf({ metadata: { list: { type: "strings", value: strings } }, tensors: [] }));
    await expect(readGguf(path, { signal: AbortSignal.abort() })).rejects.toThrow(AbortError);
    const controller = new AbortController();
    const reading = readGguf(path, { signal: controller.signal });
    setImmediate(() => controller.abort());
    await expect(reading).rejects.toThrow(AbortError);
  });
});
