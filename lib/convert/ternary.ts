import { ConversionError } from "../errors";

/** Smallest scale, as transformers' BitNet code clamps it: a matrix of zeros must not divide by zero. */
const MIN_SCALE = 1e-5;

/** Partial sums of a row. */
const LANES = 16;

/**
 * mean|W| of a matrix that comes in pieces of whole rows. Each row is added up in 16 partial sums in double precision,
 * value i going to sum i % 16, and rows in rising order: what the engine does where it reads master weights itself
 * (native/formats/master.cpp), so that a folder and the file made of it give the same bits.
 */
export class AbsMean {
  private sum = 0;
  private count = 0;
  private readonly lanes = new Float64Array(LANES);

  /** @param columns values in a row */
  constructor(private readonly columns: number) {}

  add(weights: Float32Array): void {
    const { lanes, columns } = this;
    for (let row = 0; row < weights.length; row += columns) {
      lanes.fill(0);
      for (let i = 0; i < columns; i++) {
        const lane = i & (LANES - 1);
        lanes[lane] = (lanes[lane] ?? 0) + Math.abs(weights[row + i] ?? 0);
      }
      let total = 0;
      for (const lane of lanes) total += lane;
      this.sum += total;
    }
    this.count += weights.length;
  }

  /** In single precision. @throws ConversionError when a weight was infinite or not a number. */
  scale(what: string): number {
    const mean = this.sum / this.count;
    if (!Number.isFinite(mean)) {
      throw new ConversionError(
        `Tensor "${what}" holds an infinite weight or one that is no number. The model is damaged.`,
      );
    }
    return Math.fround(Math.max(mean, MIN_SCALE));
  }
}

/** Ternary codes 0, 1, 2 of master weights: clip(round(W / scale), -1, 1) + 1, halves to even (which 0.5 makes zero). */
export function quantiseTernary(weights: Float32Array, scale: number): Uint8Array {
  const codes = new Uint8Array(weights.length);
  // Exact in double precision, other than a quotient.
  const half = scale / 2;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    // Without branches, which no processor foresees here.
    codes[i] = 1 + Number(weight > half) - Number(weight < -half);
  }
  return codes;
}

/**
 * Codes of Hugging Face's packed form: uint8 [rows / 4, columns], bit pair 2i of packed row r holding row
 * i * rows / 4 + r: four stacked quarters, not neighbours. Yields the codes row-major in pieces of at most `piece` bytes.
 * @throws ConversionError for the code 3, which stands for no weight.
 */
export function* unpackStackedQuarters(packed: Uint8Array, what: string, piece = 1 << 18): Generator<Uint8Array> {
  for (let quarter = 0; quarter < 4; quarter++) {
    for (let start = 0; start < packed.length; start += piece) {
      const end = Math.min(start + piece, packed.length);
      const codes = new Uint8Array(end - start);
      let invalid = 0;
      for (let i = start; i < end; i++) {
        const code = ((packed[i] ?? 0) >> (2 * quarter)) & 3;
        invalid |= code & (code >> 1);
        codes[i - start] = code;
      }
      if (invalid)
        throw new ConversionError(`Tensor "${what}" holds the code 3, which is no ternary weight. It is damaged.`);
      yield codes;
    }
  }
}
