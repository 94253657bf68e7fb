import { fromFloat16, toBfloat16, toFloat16 } from "../../lib/convert/floats";
import { i2sStream, packI2sCodes } from "../../lib/convert/i2s";
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
    const bytes = await collect(i2sStream(pieces(), () => 0.5));
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
    const mean = new AbsMean();
    mean.add(Float32Array.of(1, -2));
    mean.add(Float32Array.of(3));
    expect(mean.scale("w")).toBe(2);
    const zero = new AbsMean();
    zero.add(new Float32Array(4));
    expect(zero.scale("w")).toBeGreaterThan(0);
    const damaged = new AbsMean();
    damaged.add(Float32Array.of(NaN));
    expect(() => damaged.scale("w")).toThrow(ConversionError);
  });

  test("the mean of many equal weights is exact", () => {
    const mean = new AbsMean();
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
