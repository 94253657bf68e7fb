import { open, type FileHandle } from "node:fs/promises";
import type { ModelSpec, TensorRef } from "../../types/addon";
import { ggufName, LAYER_ROLES, type LayerRole, type ModelRole } from "../architectures";
import { AbortError, FileError, ModelFormatError, UnsupportedModelError } from "../errors";
import type { TensorSource } from "../files/gguf";
import { checkDense, DENSE_TYPES, type DenseFormat } from "./dense";
import { decodeFloats, encodeFloats, type FloatDtype, type RoundingReport } from "./floats";
import { checkPacking, packStream, TERNARY_TYPES, type Packing, type TernaryFormat } from "./packing";
import { permutedRow } from "./permutation";
import { AbsMean, quantiseTernary, unpackStackedQuarters } from "./ternary";
import { oneScale, readUnpacked } from "./unpacked";

/** Bytes read at a time. Quantising one piece takes a few milliseconds. */
const PIECE_BYTES = 1 << 19;

/** Largest packed tensor: four output quarters are interleaved in it, so it is held whole. */
const MAX_PACKED_BYTES = 1 << 30;

/** Counts gathered while tensors are written. */
export interface WeightReport {
  /** Weights that are -1, 0 or 1 times a scale. */
  ternaryWeights: number;
  /** Ternary weights that are zero. */
  zeros: number;
  /** Rounding of embedding and head to their format. */
  rounding: RoundingReport;
}

/** What is to be written. */
export interface WeightOptions {
  ternaryType: TernaryFormat;
  embeddingType: DenseFormat;
  /** Format of a head of its own. */
  headType: DenseFormat;
  /** Rows of q and k are to be stored interleaved, as llama-type GGUF files have them. */
  permute: boolean;
  signal: AbortSignal | undefined;
}

const FLOAT_DTYPES: Readonly<Record<string, FloatDtype>> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** Turns the tensors of a Hugging Face folder, described for the engine, into those of a GGUF file. */
export class WeightConverter {
  readonly report: WeightReport = { ternaryWeights: 0, zeros: 0, rounding: { inexact: 0, maxError: 0 } };

  constructor(
    private readonly spec: ModelSpec,
    private readonly options: WeightOptions,
  ) {}

  /** All tensors, in the order in which a decoder reads them. */
  plan(): TensorSource[] {
    const { spec, options } = this;
    const named = (role: ModelRole): string => ggufName(role, 0);
    const out = [this.dense(named("tokenEmbedding"), spec.tokenEmbedding, options.embeddingType)];
    // YaRN's follow from the metadata.
    const { factors, yarn } = spec.rope;
    if (factors && !yarn) {
      const bytes = new Uint8Array(Float32Array.from(factors).buffer);
      out.push({ name: named("ropeFactors"), dims: [factors.length], format: "f32", data: () => [bytes] });
    }
    spec.layers.forEach((layer, i) => {
      for (const [role, ref] of Object.entries(layer) as [string, TensorRef | boolean][]) {
        if (typeof ref === "boolean" || !(role in LAYER_ROLES)) continue;
        const name = ggufName(role as LayerRole, i, layer.qInputNorm !== undefined);
        out.push(ref.rows === 1 ? this.vector(name, ref) : this.linear(name, ref, role as LayerRole));
      }
    });
    out.push(this.vector(named("outputNorm"), spec.outputNorm));
    if (spec.output) out.push(this.dense(named("output"), spec.output, options.headType));
    return out;
  }

  private dense(name: string, ref: TensorRef, format: DenseFormat): TensorSource {
    const dtype = floatDtype(ref);
    const { rounding } = this.report;
    const pieces = (): AsyncGenerator<Buffer> => this.rows(ref);
    checkDense(format, ref.name, ref.columns);
    const { tensorType, encode } = DENSE_TYPES[format];
    return {
      name,
      dims: [ref.columns, ref.rows],
      format: tensorType,
      async *data() {
        for await (const piece of pieces()) yield encode(decodeFloats(dtype, piece), ref.columns, rounding, ref.name);
      },
    };
  }

  private vector(name: string, ref: TensorRef): TensorSource {
    const dtype = floatDtype(ref);
    const pieces = (): AsyncGenerator<Buffer> => this.rows(ref);
    const { add = 0 } = ref;
    return {
      name,
      dims: [ref.columns],
      format: "f32",
      async *data() {
        for await (const piece of pieces()) {
          const floats = decodeFloats(dtype, piece).map((value) => value + add);
          yield encodeFloats(floats, "f32", { inexact: 0, maxError: 0 }, ref.name);
        }
      },
    };
  }

  private linear(name: string, ref: TensorRef, role: LayerRole): TensorSource {
    const { ternaryType, permute } = this.options;
    const { rows, columns } = ref;
    checkPacking(ternaryType, ref.name, rows, columns);
    const heads = permute && role === "q" ? this.spec.headCount : permute && role === "k" ? this.spec.headCountKv : 0;
    const { tensorType, packing } = TERNARY_TYPES[ternaryType];
    const pack = packing(columns);
    const target = { name, dims: [columns, rows], format: tensorType };
    if (ref.format === "hf_packed_u8") {
      if (ref.byteLength > MAX_PACKED_BYTES) throw new UnsupportedModelError(`Tensor "${ref.name}" is over 1 GiB.`);
      return { ...target, data: () => this.fromPacked(ref, heads, pack) };
    }
    if (ref.format.endsWith("_unpacked")) return { ...target, data: () => this.fromUnpacked(ref, heads, pack) };
    return { ...target, data: () => this.fromMaster(ref, heads, pack) };
  }

  private async *fromMaster(ref: TensorRef, heads: number, pack: Packing): AsyncGenerator<Uint8Array> {
    const dtype = floatDtype({ ...ref, format: ref.format.replace(/_master$/, "") });
    const mean = new AbsMean(ref.columns);
    for await (const piece of this.rows(ref)) mean.add(decodeFloats(dtype, piece));
    const scale = mean.scale(ref.name);
    const pieces = this.rows(ref);
    const codes = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces) yield quantiseTernary(decodeFloats(dtype, piece), scale);
    };
    yield* packStream(permuted(this.counted(codes()), ref, heads), pack, () => scale);
  }

  private async *fromUnpacked(ref: TensorRef, heads: number, pack: Packing): AsyncGenerator<Uint8Array> {
    const { columns, name } = ref;
    const dtype = floatDtype({ ...ref, format: ref.format.replace(/_unpacked$/, "") });
    let scale = 0;
    if (!pack.scaledBlocks) {
      for await (const piece of this.rows(ref)) scale = oneScale(decodeFloats(dtype, piece), columns, scale, name);
    }
    // One number for each block of the rows that are in memory.
    const { block } = pack;
    let scales: Float32Array = new Float32Array(0);
    let before = 0;
    const rows = this.wholeHeads(ref, heads);
    const codes = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of rows) {
        before += scales.length;
        const weights = decodeFloats(dtype, piece);
        const own = readUnpacked(weights, columns, pack.scaledBlocks ? block : columns, name);
        scales = own.scales;
        yield own.codes;
      }
    };
    yield* packStream(this.counted(codes()), pack, pack.scaledBlocks ? (i) => scales[i - before] ?? NaN : () => scale);
  }

  private async *fromPacked(ref: TensorRef, heads: number, pack: Packing): AsyncGenerator<Uint8Array> {
    const packed = Buffer.alloc(ref.byteLength);
    let at = 0;
    for await (const piece of this.pieces(ref, PIECE_BYTES)) at += piece.copy(packed, at);
    const codes = this.counted(unpackStackedQuarters(packed, ref.name));
    yield* packStream(permuted(codes, ref, heads), pack, () => ref.scale ?? NaN);
  }

  private async *counted(codes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of codes) {
      let zeros = 0;
      // eslint-disable-next-line @typescript-eslint/prefer-for-of -- an iterator takes three times as long
      for (let i = 0; i < piece.length; i++) zeros += piece[i] === 1 ? 1 : 0;
      this.report.ternaryWeights += piece.length;
      this.report.zeros += zeros;
      yield piece;
    }
  }

  /** The tensor's bytes in pieces of whole rows. */
  private rows(ref: TensorRef): AsyncGenerator<Buffer> {
    const rowBytes = ref.byteLength / ref.rows;
    return this.pieces(ref, rowBytes * Math.max(1, Math.floor(PIECE_BYTES / rowBytes)));
  }

  /** The rows in pieces of a head each, in the order in which llama-type files store them; as they come without heads. */
  private async *wholeHeads(ref: TensorRef, heads: number): AsyncGenerator<Buffer> {
    if (heads === 0) {
      yield* this.rows(ref);
      return;
    }
    const rowBytes = ref.byteLength / ref.rows;
    const headRows = ref.rows / heads;
    for await (const head of this.pieces(ref, rowBytes * headRows)) {
      const ordered = Buffer.alloc(head.length);
      for (let row = 0; row < headRows; row++) {
        const from = permutedRow(row, headRows) * rowBytes;
        head.copy(ordered, row * rowBytes, from, from + rowBytes);
      }
      yield ordered;
    }
  }

  private async *pieces(ref: TensorRef, size: number): AsyncGenerator<Buffer> {
    const path = this.spec.files[ref.file] ?? "";
    const handle = await openForReading(path);
    const { signal } = this.options;
    try {
      for (let at = 0; at < ref.byteLength;) {
        if (signal?.aborted) throw new AbortError("Conversion was aborted.", { cause: signal.reason });
        const piece = Buffer.alloc(Math.min(size, ref.byteLength - at));
        await readFully(handle, piece, ref.offset + at, path);
        yield piece;
        at += piece.length;
      }
    } finally {
      await handle.close();
    }
  }
}

/** The rows in the order in which llama-type files store them; as they come where there are no `heads`. */
async function* permuted(
  codes: AsyncIterable<Uint8Array>,
  { rows, columns }: TensorRef,
  heads: number,
): AsyncGenerator<Uint8Array> {
  if (heads === 0) {
    yield* codes;
    return;
  }
  // One byte a weight of one matrix: the largest is 16 MB in an 8B model.
  const whole = new Uint8Array(rows * columns);
  let at = 0;
  for await (const piece of codes) {
    whole.set(piece, at);
    at += piece.length;
  }
  for (let row = 0; row < rows; row++) {
    const from = permutedRow(row, rows / heads);
    yield whole.subarray(from * columns, (from + 1) * columns);
  }
}

function floatDtype({ format, name }: TensorRef): FloatDtype {
  const dtype = Object.hasOwn(FLOAT_DTYPES, format) ? FLOAT_DTYPES[format] : undefined;
  if (dtype !== undefined) return dtype;
  throw new UnsupportedModelError(`Tensor "${name}" is ${format}; only f32, f16 and bf16 can be converted.`);
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    throw new FileError(`Cannot open "${path}": ${String(error)}.`, { cause: error });
  }
}

async function readFully(handle: FileHandle, buffer: Buffer, position: number, path: string): Promise<void> {
  for (let at = 0; at < buffer.length;) {
    const { bytesRead } = await handle.read(buffer, at, buffer.length - at, position + at);
    if (bytesRead === 0) throw new ModelFormatError(`"${path}" ended while it was being read.`);
    at += bytesRead;
  }
}
