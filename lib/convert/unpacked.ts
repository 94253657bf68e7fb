import { UnsupportedModelError } from "../errors";

/** Columns within which weights that are ternary already have one scale. */
const RUN = 128;

/** Where a matrix has more than one magnitude. */
const NOT_TERNARY =
  'they are not ternary. Models with master weights need a "quantization_config" in config.json that says so; others ' +
  "cannot be converted.";

/** Codes 0, 1, 2 and the scale of each block of weights that are -s, 0 or s. */
export interface UnpackedRows {
  codes: Uint8Array;
  scales: Float32Array;
}

/**
 * Reads whole rows. A block of zeros takes the row's first scale (native/formats/unpacked.cpp), or 0 in a row of zeros.
 * @param block weights under one scale; divides `columns`
 * @throws UnsupportedModelError where a block has weights of two magnitudes
 */
export function readUnpacked(weights: Float32Array, columns: number, block: number, name: string): UnpackedRows {
  const codes = new Uint8Array(weights.length);
  const scales = new Float32Array(weights.length / block);
  for (let row = 0; row < weights.length; row += columns) {
    const first = magnitude(weights, row, row + columns);
    for (let at = row; at < row + columns; at += block) {
      const scale = magnitude(weights, at, at + block);
      scales[at / block] = scale === 0 ? first : scale;
      for (let i = at; i < at + block; i++) {
        const weight = weights[i] ?? 0;
        if (weight !== 0 && Math.abs(weight) !== scale) throw tooFine(weights, columns, i, block, name);
        codes[i] = weight > 0 ? 2 : weight < 0 ? 0 : 1;
      }
    }
  }
  return { codes, scales };
}

/** The scale of all weights; `known` is that of the rows before, 0 where there is none yet. */
export function oneScale(weights: Float32Array, columns: number, known: number, name: string): number {
  for (const [i, weight] of weights.entries()) {
    const size = Math.abs(weight);
    if (size === 0 || size === known) continue;
    if (known !== 0) throw tooFine(weights, columns, i, weights.length, name);
    known = size;
  }
  return known;
}

function magnitude(weights: Float32Array, from: number, to: number): number {
  for (let i = from; i < to; i++) if (weights[i] !== 0) return Math.abs(weights[i] ?? 0);
  return 0;
}

/** Not ternary at all, or only within blocks smaller than the type's. */
function tooFine(
  weights: Float32Array,
  columns: number,
  at: number,
  block: number,
  name: string,
): UnsupportedModelError {
  const start = at - ((at % columns) % RUN);
  const end = Math.min(start + RUN, at - (at % columns) + columns);
  const sizes = new Set<number>();
  for (let i = start; i < end; i++) if (weights[i] !== 0) sizes.add(Math.abs(weights[i] ?? 0));
  const place = `Tensor "${name}", column ${at % columns}:`;
  if (sizes.size > 1 || !Number.isFinite(weights[at])) {
    return new UnsupportedModelError(
      `${place} weights of more than one magnitude within ${RUN} columns: ${NOT_TERNARY}`,
    );
  }
  return new UnsupportedModelError(
    `${place} its scale differs within what the type stores under one (${block} weights). Choose the type "q2_0", whose ` +
      `blocks have 64.`,
  );
}
