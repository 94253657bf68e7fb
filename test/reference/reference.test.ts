/** The reference is itself held to examples worked out by hand. */
import { join } from "node:path";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";
import { uniform } from "../helpers/random";
import { attend, quantise, rmsNorm, rope } from "./decoder";
import { loadReference } from "./model";
import { bfloat16ToNumber, halfTieDistance, halfToNumber, numberToHalf, roundHalfEven } from "./numbers";
import { tieFreePrompt } from "./ties";
import { ReferenceTokenizer, BYTE_CHARACTERS } from "./tokenizer";
import { decodeDense, decodeI2S, decodePackedUint8, quantiseMaster } from "./weights";

const folder = temporaryFolder();

describe("numbers", () => {
  test("ties round to even", () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4999].map((x) => roundHalfEven(x) + 0)).toEqual([-2, -2, 0, 0, 2, 2, 0]);
  });

  test.each([
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x3555, 0.333251953125],
  ])("binary16 %p is %p", (bits, value) => {
    expect(halfToNumber(bits)).toBe(value);
    expect(numberToHalf(value)).toBe(bits);
  });

  test("binary16 rounds ties to even, carries and overflows", () => {
    expect(numberToHalf(1 + 2 ** -11)).toBe(0x3c00);
    expect(numberToHalf(1 + 3 * 2 ** -11)).toBe(0x3c02);
    expect(numberToHalf(2 - 2 ** -12)).toBe(0x4000);
    expect(numberToHalf(65519)).toBe(0x7bff);
    expect(numberToHalf(65520)).toBe(0x7c00);
    expect(halfTieDistance(1 + 2 ** -11)).toBe(0);
    expect(halfTieDistance(-1)).toBe(0.5);
  });

  test("bfloat16 is the upper half of binary32", () => {
    expect(bfloat16ToNumber(0x3f80)).toBe(1);
    expect(bfloat16ToNumber(0xc048)).toBe(-3.125);
  });
});

describe("weights", () => {
  test("I2_S: the worked example of its definition", () => {
    const bytes = Buffer.alloc(96);
    // w[i] = (i % 3) - 1 over 2 x 128 values; bytes 0..3 are known, the rest follow from the layout.
    const code = (i: number): number => i % 3;
    for (let block = 0; block < 2; block++) {
      for (let p = 0; p < 32; p++) {
        const at = block * 128 + p;
        bytes[block * 32 + p] = (code(at) << 6) | (code(at + 32) << 4) | (code(at + 64) << 2) | code(at + 96);
      }
    }
    expect(bytes.subarray(0, 4).toString("hex")).toBe("24499224");
    bytes.writeFloatLE(0.5, 64);
    const matrix = decodeI2S({ name: "w", format: "I2_S", shape: [2, 128], bytes });
    expect(Array.from(matrix.codes)).toEqual(Array.from({ length: 256 }, (_, i) => (i % 3) - 1));
    expect(matrix.scale).toBe(0.5);
  });

  test("packed uint8 stacks quarters", () => {
    // One packed row: rows 0..3 of column 0 are -1, 0, 1, 0 and of column 1 all 1.
    const bytes = Buffer.from([0b01_10_01_00, 0b10_10_10_10]);
    const matrix = decodePackedUint8({ name: "w", format: "U8", shape: [1, 2], bytes }, 2);
    expect(Array.from(matrix.codes)).toEqual([-1, 1, 0, 1, 1, 1, 0, 1]);
  });

  test("master weights are divided by their mean magnitude", () => {
    const values = Float64Array.of(0.1, -0.3, 0.9, -0.7);
    const matrix = quantiseMaster({ rows: 2, columns: 2, values });
    expect(matrix.scale).toBeCloseTo(0.5, 12);
    expect(Array.from(matrix.codes, (code) => code + 0)).toEqual([0, -1, 1, -1]);
  });

  test("Q8_0 and Q6_K", () => {
    const q8 = Buffer.alloc(34);
    q8.writeUInt16LE(0x3800);
    q8.writeInt8(-3, 2 + 31);
    expect(decodeDense({ name: "w", format: "Q8_0", shape: [1, 32], bytes: q8 }).values[31]).toBe(-1.5);

    const q6 = Buffer.alloc(210);
    q6.writeUInt16LE(0x3c00, 208);
    for (let i = 0; i < 16; i++) q6.writeInt8(i + 1, 192 + i);
    // Second half, third quarter, lane 5: high nibble of byte 64 + 5, bits 4-5 of byte 128 + 32 + 5; scale 8 + 4.
    q6[69] = 0x90;
    q6[165] = 0x30;
    const { values } = decodeDense({ name: "w", format: "Q6_K", shape: [1, 256], bytes: q6 });
    expect(values[128 + 64 + 5]).toBe((9 + 48 - 32) * 13);
    expect(values[0]).toBe(-32);
    expect(values[255]).toBe(-32 * 16);
  });
});

describe("decoder", () => {
  test("RMSNorm", () => {
    const result = rmsNorm(Float64Array.of(3, -4), Float64Array.of(1, 2), 0);
    expect(result[0]).toBeCloseTo(3 / Math.sqrt(12.5), 12);
    expect(result[1]).toBeCloseTo(-8 / Math.sqrt(12.5), 12);
  });

  test("activations: 127 steps to the maximum, ties to even, and their distance", () => {
    const exact = quantise(Float64Array.of(0.5, 1.5, -2.5, 127));
    expect(Array.from(exact.codes, (code) => code + 0)).toEqual([0, 2, -2, 127]);
    expect(exact.scale).toBe(1);
    expect(exact.tieDistance).toBe(0);
    expect(quantise(Float64Array.of(0, 3.25, -127)).tieDistance).toBe(0.25);
    expect(quantise(Float64Array.of(0, 0)).scale).toBeCloseTo(127e5, 4);
  });

  test("RoPE: position 0 changes nothing, scores depend on distance only", () => {
    const random = uniform(5);
    const vector = (): Float64Array => Float64Array.from({ length: 8 }, () => random() - 0.5);
    const [q, k] = [vector(), vector()];
    expect(rope(q, 8, 0, 10000)).toEqual(q);
    const score = (m: number, n: number): number => {
      const rotated = rope(k, 8, n, 10000);
      return rope(q, 8, m, 10000).reduce((sum, x, i) => sum + x * rotated[i]!, 0);
    };
    expect(score(9, 4)).toBeCloseTo(score(105, 100), 12);
    expect(score(9, 4)).not.toBeCloseTo(score(9, 5), 4);
    // The pair is (0, 4): a quarter turn moves element 0 to element 4.
    const turned = rope(Float64Array.of(1, 0, 0, 0, 0, 0, 0, 0), 8, Math.PI / 2, 10000);
    expect(turned[4]).toBeCloseTo(1, 12);
  });

  test("attention: consecutive query heads share a KV head, equal scores give the mean", () => {
    const query = new Float64Array(8);
    const cache = {
      keys: [new Float64Array(4), new Float64Array(4)],
      values: [Float64Array.of(1, 2, 10, 20), Float64Array.of(3, 4, 30, 40)],
    };
    expect(Array.from(attend(query, cache, 2, 2))).toEqual([2, 3, 2, 3, 20, 30, 20, 30]);
  });

  test("a truncated sequence continues as if nothing had happened", () => {
    const path = join(folder, "tiny.gguf");
    writeTinyModel(path);
    const sequence = loadReference(path).sequence();
    sequence.push(1);
    const first = sequence.push(2).logits;
    sequence.push(3);
    sequence.truncate(1);
    expect(sequence.length).toBe(1);
    expect(sequence.push(2).logits).toEqual(first);
  });

  test("tie-free prompts do not change when activations are rounded to float32", () => {
    const path = join(folder, "ties.gguf");
    writeTinyModel(path, { seed: 3 });
    for (const kv of ["f32", "f16"] as const) {
      const prompt = tieFreePrompt(loadReference(path, { kv }), 6, uniform(1));
      const rounded = loadReference(path, { kv, activations: "f32" }).logits(prompt.tokens);
      rounded.forEach((logits, position) => {
        logits.forEach((logit, id) =>
          expect(Math.abs(logit - (prompt.logits[position]?.[id] ?? NaN))).toBeLessThan(1e-4),
        );
      });
    }
  });
});

test("byte-level BPE merges by rank, the split pattern keeps words apart", () => {
  const merges = ["a b", "b c", "ab c", "\u0120 ab"];
  const tokens = [...BYTE_CHARACTERS, "ab", "bc", "abc", "\u0120ab"];
  const tokenizer = new ReferenceTokenizer(new Map(tokens.map((token, id) => [token, id])), merges, 0);
  expect(tokenizer.encode("abc bc ab")).toEqual([258, 32, 257, 259]);
  expect(tokenizer.encode("ab1234")).toEqual([256, 49, 50, 51, 52]);
  expect(tokenizer.encode("é")).toEqual([0xc3, 0xa9]);
});
