/**
 * The tensor types of GGUF files: ids, names and byte sizes. Most types are blocks of a fixed number of elements; the
 * ternary types of bitnet.cpp and ik_llama.cpp have headers or tails of their own. Some ids mean different types in
 * different programs (36, 38, 39, 42): an id therefore has a list of candidates, and the reader takes the one whose size
 * fits the room the file gives the tensor.
 */

/** One meaning of a type id. */
export interface TensorType {
  readonly id: number;
  /** Lower-case name: the WeightFormat of types/addon.d.ts. */
  readonly name: string;
  /** Whether weights are codes in {-1, 0, 1} with a scale. */
  readonly ternary: boolean;
  /** Whether it can serve as the matrix of a linear layer: ternary, or codes with a scale per group. */
  readonly linear: boolean;
  /** Bytes of its end that hold its one f32 scale and padding. Absent: 0. */
  readonly scaleTail?: number;
  /** "not-bitnet": the meaning does not hold in files of bitnet.cpp's architectures. Absent: it holds in all. */
  readonly onlyIn?: "not-bitnet";
  /** Bytes of a tensor with these rows and columns; undefined where the type cannot have the shape. */
  byteLength(rows: number, columns: number): number | undefined;
}

/** Bytes behind the codes of bitnet.cpp's types: one f32 scale and padding. */
const SCALE_TAIL = 32;

function blocks(
  id: number,
  name: string,
  elements: number,
  bytes: number,
  options: Partial<TensorType> = {},
): TensorType {
  return {
    id,
    name,
    ternary: false,
    linear: options.ternary ?? false,
    ...options,
    byteLength: (rows, columns) => (columns % elements === 0 ? rows * (columns / elements) * bytes : undefined),
  };
}

/** Types of ik_llama.cpp whose rows start with a scale. */
function rowScaled(id: number, name: string, elements: number, bytes: number, rowHeader: number): TensorType {
  return {
    id,
    name,
    ternary: true,
    linear: true,
    byteLength: (rows, columns) =>
      columns % elements === 0 ? rows * (rowHeader + (columns / elements) * bytes) : undefined,
  };
}

/** Two bits a weight over the whole tensor, then one scale. Rows may straddle blocks (bitnet_b1_58-3B: K = 8640). */
function twoBit(id: number, name: string, options: Partial<TensorType> = {}): TensorType {
  return {
    id,
    name,
    ternary: true,
    linear: true,
    scaleTail: SCALE_TAIL,
    ...options,
    byteLength: (rows, columns) => ((rows * columns) % 128 === 0 ? (rows * columns) / 4 + SCALE_TAIL : undefined),
  };
}

function tl2(id: number): TensorType {
  return {
    id,
    name: "tl2",
    ternary: true,
    linear: true,
    scaleTail: SCALE_TAIL,
    byteLength: (rows, columns) => {
      if (columns < 256 || columns % 32 !== 0 || rows % 32 !== 0) return undefined;
      const bytes = Math.floor((Math.floor(((columns - 256) * rows) / 3) * 5) / 8) + (256 * rows) / 4;
      return Math.ceil(bytes / 32) * 32 + SCALE_TAIL;
    },
  };
}

const TERNARY = { ternary: true } as const;
const LINEAR = { linear: true } as const;

/** Every type known by name. Adding one is adding a line. */
export const TENSOR_TYPES: readonly TensorType[] = [
  blocks(0, "f32", 1, 4),
  blocks(1, "f16", 1, 2),
  blocks(2, "q4_0", 32, 18, LINEAR),
  blocks(3, "q4_1", 32, 20),
  blocks(6, "q5_0", 32, 22),
  blocks(7, "q5_1", 32, 24),
  blocks(8, "q8_0", 32, 34, LINEAR),
  blocks(9, "q8_1", 32, 36),
  blocks(10, "q2_k", 256, 84),
  blocks(11, "q3_k", 256, 110),
  blocks(12, "q4_k", 256, 144),
  blocks(13, "q5_k", 256, 176),
  blocks(14, "q6_k", 256, 210),
  blocks(15, "q8_k", 256, 292),
  blocks(16, "iq2_xxs", 256, 66),
  blocks(17, "iq2_xs", 256, 74),
  blocks(18, "iq3_xxs", 256, 98),
  blocks(19, "iq1_s", 256, 50),
  blocks(20, "iq4_nl", 32, 18),
  blocks(21, "iq3_s", 256, 110),
  blocks(22, "iq2_s", 256, 82),
  blocks(23, "iq4_xs", 256, 136),
  blocks(24, "i8", 1, 1),
  blocks(25, "i16", 1, 2),
  blocks(26, "i32", 1, 4),
  blocks(27, "i64", 1, 8),
  blocks(28, "f64", 1, 8),
  blocks(29, "iq1_m", 256, 56),
  blocks(30, "bf16", 1, 2),
  blocks(34, "tq1_0", 256, 54, TERNARY),
  blocks(35, "tq2_0", 256, 66, TERNARY),
  twoBit(36, "i2_s"),
  blocks(36, "iq4_nl_4_4", 32, 18, { onlyIn: "not-bitnet" }),
  twoBit(38, "tl1"),
  blocks(38, "iq4_nl_8_8", 32, 18, { onlyIn: "not-bitnet" }),
  tl2(39),
  blocks(39, "mxfp4", 32, 17),
  blocks(41, "q1_0", 128, 18, TERNARY),
  tl2(42),
  blocks(42, "q2_0_g64", 64, 18, TERNARY),
  blocks(42, "q2_0_g128", 128, 34, TERNARY),
  rowScaled(134, "iq1_bn", 64, 13, 2),
  rowScaled(135, "iq2_bn", 64, 16, 4),
  blocks(142, "pq2_0", 128, 34, TERNARY),
  blocks(143, "ptq1_0", 128, 28, TERNARY),
  // This package's own dense type (native/formats/t5.cpp); the id is its name in ASCII, far from everybody else's.
  {
    id: 0x5435,
    name: "t5",
    ternary: true,
    linear: true,
    byteLength: (rows, columns) => rows * (4 + Math.ceil(columns / 5)),
  },
];

const BY_ID = new Map<number, TensorType[]>();
for (const type of TENSOR_TYPES) {
  const list = BY_ID.get(type.id);
  if (list) list.push(type);
  else BY_ID.set(type.id, [type]);
}

const BY_NAME = new Map(TENSOR_TYPES.map((type) => [type.name, type]));

/** The meanings of a type id; empty for an unknown one. */
export function tensorTypesById(id: number): readonly TensorType[] {
  return BY_ID.get(id) ?? [];
}

/** The type with this lower-case name. */
export function tensorTypeByName(name: string): TensorType | undefined {
  return BY_NAME.get(name);
}
