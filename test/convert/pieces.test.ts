import { fromFloat16, toBfloat16, toFloat16 } from "../../lib/convert/floats";
import { packI2sCodes } from "../../lib/convert/i2s";
import { packStream, TERNARY_TYPES } from "../../lib/convert/packing";
import { permutedRow } from "../../lib/convert/permutation";
import { findUnreachableToken } from "../../lib/convert/merges";
import { AbsMean, quantiseTernary, unpackStackedQuarters } from "../../lib/convert/ternary";
import { ConversionError } from "../../lib/errors";
import { halfToNumber, numberToHalf } from "../reference/numbers";

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("I2_S", () => {
  // bitnet.cpp's own encoder on w[i] = ((i % 3) - 1) * 0.5, 2 x 128.
  const codes = Uint8Array.from({ length: 256 }, (_, i) => i % 3);

  test("the worked example", async () => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      await Promise.resolve();
      // Cut at odd places: pieces need not end with blocks.
      yield codes.subarray(0, 5);
      yield codes.subarray(5, 200);
      yield codes.subarray(200);
    }
    const bytes = await collect(packStream(pieces(), TERNARY_TYPES.i2_s.packing(256), () => 0.5));
    expect(bytes.length).toBe(96);
    expect([...bytes.subarray(0, 4)]).toEqual([0x24, 0x49, 0x92, 0x24]);
    expect(bytes.readFloatLE(64)).toBe(0.5);
    expect(bytes.subarray(68)).toEqual(Buffer.alloc(28));
  });

  test("a byte holds values 32 apart, the first in the high bits", () => {
    const block = new Uint8Array(128);
    [block[7], block[39], block[71], block[103]] = [2, 1, 0, 2];
    expect(packI2sCodes(block)[7]).toBe(0b10_01_00_10);
  });
});

describe("llama.cpp's ternary types", () => {
  const codes = Uint8Array.from({ length: 512 }, (_, i) => (i * 7 + (i >> 4)) % 3);
  const pack = (format: "tq1_0" | "tq2_0"): Promise<Buffer> => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      await Promise.resolve();
      yield codes.subarray(0, 100);
      yield codes.subarray(100);
    }
    return collect(packStream(pieces(), TERNARY_TYPES[format].packing(256), () => 0.5));
  };

  test("TQ2_0: value p + 32 n of a group of 128 is the bit pair 2 n of byte p, then a half-precision scale", async () => {
    const bytes = await pack("tq2_0");
    expect(bytes.length).toBe(132);
    const decoded = Array.from(codes, (_, i) => {
      const byte = bytes[Math.floor(i / 256) * 66 + Math.floor((i % 256) / 128) * 32 + (i % 32)]!;
      return (byte >> (2 * Math.floor((i % 128) / 32))) & 3;
    });
    expect(decoded).toEqual([...codes]);
    expect([halfToNumber(bytes.readUInt16LE(64)), halfToNumber(bytes.readUInt16LE(130))]).toEqual([0.5, 0.5]);
  });

  test("TQ1_0: trit n of a byte is found by multiplying with 3^n and looking at what leaves the byte", async () => {
    const bytes = await pack("tq1_0");
    expect(bytes.length).toBe(108);
    // ggml's decoder: q * 3^n in eight bits, times three, shifted down by eight.
    const trit = (byte: number, n: number): number => (((byte * 3 ** n) & 255) * 3) >> 8;
    const decoded = [0, 54].flatMap((at) => [
      ...Array.from({ length: 160 }, (_, i) => trit(bytes[at + (i % 32)]!, Math.floor(i / 32))),
      ...Array.from({ length: 80 }, (_, i) => trit(bytes[at + 32 + (i % 16)]!, Math.floor(i / 16))),
      ...Array.from({ length: 16 }, (_, i) => trit(bytes[at + 48 + (i % 4)]!, Math.floor(i / 4))),
    ]);
    expect(decoded).toEqual([...codes]);
    expect(halfToNumber(bytes.readUInt16LE(52))).toBe(0.5);
  });

  test("a scale beyond half precision is refused", async () => {
    async function* one(): AsyncGenerator<Uint8Array> {
      await Promise.resolve();
      yield codes.subarray(0, 256);
    }
    await expect(collect(packStream(one(), TERNARY_TYPES.tq2_0.packing(256), () => 1e9))).rejects.toThrow(
      ConversionError,
    );
  });
});

test("interleaved rows: rotating neighbours there is rotating halves here", () => {
  // Heads of 6 rows: stored row 2 i is row i of the head, stored row 2 i + 1 row i + 3.
  expect(Array.from({ length: 12 }, (_, row) => permutedRow(row, 6))).toEqual([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
});

test("Hugging Face's packed form stacks quarters of the rows", () => {
  // Eight rows of three; packed row r, pair 2i is row 2i + r, so here quarter i holds rows 2i and 2i + 1.
  const rows = Array.from({ length: 8 }, (_, r) => Array.from({ length: 3 }, (_, c) => (r + 2 * c) % 3));
  const packed = new Uint8Array(6);
  for (let r = 0; r < 2; r++) {
    for (let c = 0; c < 3; c++) {
      packed[r * 3 + c] = rows[r]![c]! | (rows[2 + r]![c]! << 2) | (rows[4 + r]![c]! << 4) | (rows[6 + r]![c]! << 6);
    }
  }
  const codes = [...unpackStackedQuarters(packed, "w", 4)].flatMap((piece) => [...piece]);
  expect(codes).toEqual(rows.flat());
  expect(() => [...unpackStackedQuarters(Uint8Array.of(0, 0b1100), "the.weight")]).toThrow(/the\.weight.*code 3/);
});

describe("ternaries of master weights", () => {
  test("round half to even, clip", () => {
    // 0.5 rounds to 0; 1.5 would round to 2 and is clipped.
    const weights = Float32Array.of(0, 1, -1, 0.5, -0.5, 0.50001, -0.50001, 1.5, -7, 0.4);
    expect([...quantiseTernary(weights, 1)]).toEqual([1, 2, 0, 1, 1, 2, 0, 2, 0, 1]);
  });

  test("the scale is the mean magnitude, and never zero", () => {
    const mean = new AbsMean(1);
    mean.add(Float32Array.of(1, -2));
    mean.add(Float32Array.of(3));
    expect(mean.scale("w")).toBe(2);
    const zero = new AbsMean(2);
    zero.add(new Float32Array(4));
    expect(zero.scale("w")).toBeGreaterThan(0);
    const damaged = new AbsMean(1);
    damaged.add(Float32Array.of(NaN));
    expect(() => damaged.scale("w")).toThrow(ConversionError);
  });

  test("the mean of many equal weights is exact", () => {
    const mean = new AbsMean(1 << 8);
    for (let i = 0; i < 64; i++) mean.add(new Float32Array(1 << 16).fill(0.1));
    expect(mean.scale("w")).toBeCloseTo(Math.fround(0.1), 9);
  });
});

describe("narrow floats", () => {
  test("every half-precision number survives, as an independent implementation reads it", () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      for (const signed of [bits, bits | 0x8000]) {
        const value = halfToNumber(signed);
        if (fromFloat16(signed) !== value || toFloat16(value) !== signed)
          throw new Error(`half ${signed.toString(16)}`);
      }
    }
  });

  test("midpoints and their neighbours round to nearest even, subnormals included", () => {
    for (let bits = 0; bits < 0x7bff; bits += 1) {
      const middle = (halfToNumber(bits) + halfToNumber(bits + 1)) / 2;
      for (const value of [middle, Math.fround(middle * (1 + 2 ** -20)), Math.fround(middle * (1 - 2 ** -20))]) {
        if (toFloat16(value) !== numberToHalf(value))
          throw new Error(`${value}: ${toFloat16(value)}, not ${numberToHalf(value)}`);
      }
    }
    expect([65519, 65520, Infinity, -Infinity].map(toFloat16)).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00]);
    expect(fromFloat16(toFloat16(NaN))).toBeNaN();
  });

  test("bfloat16 rounds to nearest even", () => {
    // 1 + 2^-8 lies in the middle of 1 and 1 + 2^-7; 1 + 3 * 2^-8 in the middle of 1 + 2^-7 and 1 + 2^-6.
    expect([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -(1 + 2 ** -8 + 2 ** -20)].map(toBfloat16)).toEqual([
      0x3f80, 0x3f80, 0x3f82, 0xbf81,
    ]);
  });
});

test("a token that doesn't merge into itself is found", () => {
  const merges = [
    ["b", "c"],
    ["a", "b"],
    ["ab", "c"],
  ] as const;
  expect(findUnreachableToken(["a", "b", "c", "bc", "ab"], merges)).toBeUndefined();
  // "abc" becomes "a" + "bc", since "b c" comes first.
  expect(findUnreachableToken(["ab", "abc"], merges)).toBe("abc");
});
