/**
 * Random weights, and how a share of dead gates is set.
 *
 * Ternary codes are uniform over {-1, 0, 1}. Scales keep every activation near 1: a matrix over K inputs of unit size has
 * outputs of size scale * sqrt(2K/3).
 *
 * Dead gates. With random weights half of all gates are below zero, and squared ReLU makes them exactly 0. To move that
 * share to p, B dimensions of the residual stream carry a constant: the embedding holds the same value c there for every
 * token, and the rows of attn_output and ffn_down that write there are all zero, so the value never changes. Every gate
 * row has the code -1 in these B columns (+1 for p < 0.5). After the norm the other K-B dimensions have size s, so a gate is
 * normal with deviation scale * s * sqrt(2(K-B)/3), and the constant moves its mean by B * v * scale, v being the constant
 * after the norm. Choosing v = z * s * sqrt(2(K-B)/3) / B, with z the normal quantile of p, gives each gate of each token the
 * probability p of being dead. s comes from the residual's size, which is known layer by layer because the sub-norms fix
 * what each branch adds; v is set by the ffn_norm weights of the B dimensions. B is chosen so that v is close to s: larger
 * values would take int8 steps away from the others, smaller ones would be rounded coarsely.
 */
import type { TensorSource } from "../../lib/files/gguf";
import { i2sTail } from "../../lib/convert/i2s";
import { toFloat16 } from "../../lib/convert/floats";
import { normalQuantile, Random } from "./random";
import type { Shape } from "./shapes";

/** Size of what a branch adds to the residual, in units of the embedding's: large enough that the model doesn't echo. */
const BRANCH_GAIN = 4;

/** The constant dimensions of the residual stream. */
export interface GateShift {
  /** How many; they are the last ones. */
  dimensions: number;
  /** Code of the gate weights that read them: 0 is -1, 2 is +1. */
  code: 0 | 2;
  /** ffn_norm weight of these dimensions per layer. */
  normWeights: number[];
}

/** Plans the shift that makes `share` of the gates dead. */
export function planGateShift(shape: Shape, share: number): GateShift {
  const z = Math.abs(normalQuantile(share));
  const dimensions = Math.round(z * Math.sqrt((2 * shape.width) / 3));
  if (dimensions === 0) return { dimensions, code: 0, normWeights: [] };
  const others = shape.width - dimensions;
  const normWeights = Array.from({ length: shape.layers }, (_, layer) => {
    const branches = 2 * layer + 1;
    const size = Math.sqrt(1 + branches * BRANCH_GAIN ** 2);
    return (z * size * Math.sqrt((2 * others) / 3)) / dimensions;
  });
  return { dimensions, code: share > 0.5 ? 0 : 2, normWeights };
}

/** All tensors of a synthetic model, made when they are asked for. */
export function syntheticTensors(shape: Shape, seed: number, shift: GateShift): TensorSource[] {
  const { width, ffn, heads, kvHeads, vocabulary } = shape;
  const keys = (width / heads) * kvHeads;
  let stream = 0;
  const unit = (inputs: number): number => 1 / Math.sqrt((2 * inputs) / 3);
  // The embedding has size 1/sqrt(width), which makes logits of size 1.
  const branch = (inputs: number): number => (BRANCH_GAIN / Math.sqrt(width)) * unit(inputs);
  const matrix = (name: string, rows: number, columns: number, scale: number, edit?: Edit): TensorSource => {
    const random = new Random(seed, stream++);
    return {
      name: `${name}.weight`,
      dims: [columns, rows],
      format: "i2_s",
      *data() {
        const codes = randomCodes(random, (rows * columns) / 4);
        edit?.(codes);
        yield codes;
        yield i2sTail(scale);
      },
    };
  };
  const zeroRows = (columns: number): Edit => {
    return (codes) => fillCodes(codes, (width - shift.dimensions) * columns, width * columns, 1);
  };
  const shiftColumns: Edit = (codes) => {
    for (let row = 0; row < ffn; row++) {
      fillCodes(codes, (row + 1) * width - shift.dimensions, (row + 1) * width, shift.code);
    }
  };
  const tensors: TensorSource[] = [];
  tensors.push(dense("token_embd", vocabulary, width, new Random(seed, stream++), shift.dimensions));
  for (let layer = 0; layer < shape.layers; layer++) {
    const blk = `blk.${layer}.`;
    tensors.push(
      norm(`${blk}attn_norm`, width),
      matrix(`${blk}attn_q`, width, width, unit(width)),
      matrix(`${blk}attn_k`, keys, width, unit(width)),
      matrix(`${blk}attn_v`, keys, width, unit(width)),
      norm(`${blk}attn_sub_norm`, width),
      matrix(`${blk}attn_output`, width, width, branch(width), zeroRows(width)),
      norm(`${blk}ffn_norm`, width, shift.dimensions, shift.normWeights[layer]),
      matrix(`${blk}ffn_gate`, ffn, width, unit(width), shiftColumns),
      matrix(`${blk}ffn_up`, ffn, width, unit(width)),
      norm(`${blk}ffn_sub_norm`, ffn),
      matrix(`${blk}ffn_down`, width, ffn, branch(ffn), zeroRows(ffn)),
    );
  }
  tensors.push(norm("output_norm", width));
  if (!shape.tiedHead) tensors.push(dense("output", vocabulary, width, new Random(seed, stream++), shift.dimensions));
  return tensors;
}

type Edit = (codes: Uint8Array) => void;

/** Sixteen random bits to eight codes, each of 0, 1, 2: 65536 / 3^8 is 9.99, so the codes are uniform to 0.1 %. */
const EIGHT_CODES = Uint16Array.from({ length: 65536 }, (_, bits) => {
  let rest = Math.floor((bits * 6561) / 65536);
  let packed = 0;
  for (let i = 0; i < 8; i++) {
    packed |= (rest % 3) << (2 * i);
    rest = Math.floor(rest / 3);
  }
  return packed;
});

function randomCodes(random: Random, bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) {
    const bits = random.next();
    words[i] = ((EIGHT_CODES[bits >>> 16] ?? 0) << 16) | (EIGHT_CODES[bits & 0xffff] ?? 0);
  }
  return new Uint8Array(words.buffer);
}

/** Sets the codes of flat positions from `start` to before `end` in I2_S order. */
function fillCodes(codes: Uint8Array, start: number, end: number, code: number): void {
  for (let at = start; at < end; at++) {
    const byte = Math.floor(at / 128) * 32 + (at % 32);
    const bit = 6 - 2 * Math.floor((at % 128) / 32);
    codes[byte] = ((codes[byte] ?? 0) & ~(3 << bit)) | (code << bit);
  }
}

/** Sixteen random bits to a normal deviate in half precision, in units of 1/sqrt(width) after scaling. */
function normalTable(deviation: number): Uint16Array {
  return Uint16Array.from({ length: 65536 }, (_, bits) => toFloat16(deviation * normalQuantile((bits + 0.5) / 65536)));
}

function dense(name: string, rows: number, columns: number, random: Random, constants: number): TensorSource {
  return {
    name: `${name}.weight`,
    dims: [columns, rows],
    format: "f16",
    *data() {
      const deviation = 1 / Math.sqrt(columns);
      const table = normalTable(deviation);
      const constant = toFloat16(deviation);
      const rowsAtOnce = Math.max(1, Math.floor((1 << 19) / columns));
      for (let start = 0; start < rows; start += rowsAtOnce) {
        const values = new Uint16Array(Math.min(rowsAtOnce, rows - start) * columns);
        for (let i = 0; i < values.length; i++) values[i] = table[random.next() >>> 16] ?? 0;
        for (let end = columns; end <= values.length; end += columns) values.fill(constant, end - constants, end);
        yield new Uint8Array(values.buffer);
      }
    },
  };
}

function norm(name: string, length: number, constants = 0, weight = 1): TensorSource {
  return {
    name: `${name}.weight`,
    dims: [length],
    format: "f32",
    *data() {
      const values = new Float32Array(length).fill(1).fill(weight, length - constants);
      yield new Uint8Array(values.buffer);
    },
  };
}
