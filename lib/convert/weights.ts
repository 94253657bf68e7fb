import { open, type FileHandle } from "node:fs/promises";
import { AbortError, ConversionError, FileError, ModelFormatError, UnsupportedModelError } from "../errors";
import type { TensorSource } from "../files/gguf";
import type { SafetensorsTensor } from "../files/safetensors";
import type { HfConfig, WeightStorage } from "./config";
import { decodeFloats, encodeFloats, type FloatDtype, type RoundingReport } from "./floats";
import { i2sStream } from "./i2s";
import { AbsMean, quantiseTernary, unpackStackedQuarters } from "./ternary";

/** Bytes read at a time; a multiple of every dtype's size. Quantising one piece takes a few milliseconds. */
const PIECE_BYTES = 1 << 19;

/** Largest packed tensor: four output quarters are interleaved in it, so it is held whole. */
const MAX_PACKED_BYTES = 1 << 30;

/** Formats a dense tensor can be written in. */
export type DenseFormat = "f32" | "f16" | "bf16";

/** Counts gathered while tensors are written. */
export interface WeightReport {
  ternaryWeights: number;
  /** Ternary weights that are zero. */
  zeros: number;
  /** Rounding of embedding and head to their format. */
  rounding: RoundingReport;
}

/** Turns the tensors of a Hugging Face BitNet model into those of a GGUF file, and notices what is left over. */
export class WeightConverter {
  readonly report: WeightReport = { ternaryWeights: 0, zeros: 0, rounding: { inexact: 0, maxError: 0 } };
  private readonly taken = new Set<string>();

  constructor(
    private readonly tensors: ReadonlyMap<string, SafetensorsTensor>,
    private readonly storage: WeightStorage,
    private readonly embeddingFormat: DenseFormat,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** All tensors, in the order in which a decoder reads them. */
  plan(config: HfConfig): TensorSource[] {
    const { embeddingLength: width, ffnLength, headCount, headCountKv, headDim, vocabularySize } = config;
    const queries = headCount * headDim;
    const keys = headCountKv * headDim;
    const out = [this.dense("token_embd", "model.embed_tokens", vocabularySize, width)];
    for (let i = 0; i < config.layerCount; i++) {
      const to = `blk.${i}.`;
      const from = `model.layers.${i}.`;
      out.push(
        this.norm(`${to}attn_norm`, `${from}input_layernorm`, width),
        this.linear(`${to}attn_q`, `${from}self_attn.q_proj`, queries, width),
        this.linear(`${to}attn_k`, `${from}self_attn.k_proj`, keys, width),
        this.linear(`${to}attn_v`, `${from}self_attn.v_proj`, keys, width),
        this.norm(`${to}attn_sub_norm`, `${from}self_attn.attn_sub_norm`, queries),
        this.linear(`${to}attn_output`, `${from}self_attn.o_proj`, width, queries),
        this.norm(`${to}ffn_norm`, `${from}post_attention_layernorm`, width),
        this.linear(`${to}ffn_gate`, `${from}mlp.gate_proj`, ffnLength, width),
        this.linear(`${to}ffn_up`, `${from}mlp.up_proj`, ffnLength, width),
        this.norm(`${to}ffn_sub_norm`, `${from}mlp.ffn_sub_norm`, ffnLength),
        this.linear(`${to}ffn_down`, `${from}mlp.down_proj`, width, ffnLength),
      );
    }
    out.push(this.norm("output_norm", "model.norm", width));
    if (!config.tiedHead) out.push(this.dense("output", "lm_head", vocabularySize, width));
    this.refuseLeftovers();
    return out;
  }

  private dense(to: string, from: string, rows: number, columns: number): TensorSource {
    const tensor = this.take(`${from}.weight`, [rows, columns]);
    return this.floats(`${to}.weight`, tensor, [columns, rows], this.embeddingFormat, this.report.rounding);
  }

  private norm(to: string, from: string, length: number): TensorSource {
    const tensor = this.take(`${from}.weight`, [length]);
    return this.floats(`${to}.weight`, tensor, [length], "f32", { inexact: 0, maxError: 0 });
  }

  private floats(
    name: string,
    tensor: SafetensorsTensor,
    dims: number[],
    format: DenseFormat,
    rounding: RoundingReport,
  ): TensorSource {
    const dtype = floatDtype(tensor);
    const pieces = (): AsyncGenerator<Buffer> => this.pieces(tensor);
    return {
      name,
      dims,
      format,
      async *data() {
        for await (const piece of pieces())
          yield encodeFloats(decodeFloats(dtype, piece), format, rounding, tensor.name);
      },
    };
  }

  private linear(to: string, from: string, rows: number, columns: number): TensorSource {
    if ((rows * columns) % 128 !== 0) {
      throw new UnsupportedModelError(
        `Tensor "${from}.weight" has ${rows * columns} weights; I2_S needs a multiple of 128.`,
      );
    }
    const target = { name: `${to}.weight`, dims: [columns, rows], format: "i2_s" };
    if (this.storage === "master") {
      const tensor = this.take(`${from}.weight`, [rows, columns]);
      floatDtype(tensor);
      return { ...target, data: () => this.fromMaster(tensor) };
    }
    if (rows % 4 !== 0)
      throw new ModelFormatError(`Tensor "${from}.weight" is packed, but has ${rows} rows: not four quarters.`);
    const tensor = this.take(`${from}.weight`, [rows / 4, columns]);
    const scale = this.take(`${from}.weight_scale`, [1], []);
    if (tensor.dtype !== "U8") {
      throw new ModelFormatError(
        `Tensor "${tensor.name}" is ${tensor.dtype}, but quantization_config says that weights are packed (U8). Correct ` +
          `config.json, or use the "online" form for master weights.`,
      );
    }
    if (tensor.byteLength > MAX_PACKED_BYTES) throw new UnsupportedModelError(`Tensor "${tensor.name}" is over 1 GiB.`);
    return { ...target, data: () => this.fromPacked(tensor, scale) };
  }

  private async *fromMaster(tensor: SafetensorsTensor): AsyncGenerator<Uint8Array> {
    const dtype = floatDtype(tensor);
    const mean = new AbsMean();
    for await (const piece of this.pieces(tensor)) mean.add(decodeFloats(dtype, piece));
    const scale = mean.scale(tensor.name);
    const pieces = this.pieces(tensor);
    const codes = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces) yield quantiseTernary(decodeFloats(dtype, piece), scale);
    };
    yield* i2sStream(this.counted(codes()), () => scale);
  }

  private async *fromPacked(tensor: SafetensorsTensor, scaleTensor: SafetensorsTensor): AsyncGenerator<Uint8Array> {
    const scale = await this.scale(scaleTensor);
    const packed = Buffer.alloc(tensor.byteLength);
    let at = 0;
    for await (const piece of this.pieces(tensor)) at += piece.copy(packed, at);
    yield* i2sStream(this.counted(unpackStackedQuarters(packed, tensor.name)), () => scale);
  }

  private async scale(tensor: SafetensorsTensor): Promise<number> {
    let stored = NaN;
    for await (const piece of this.pieces(tensor)) stored = decodeFloats(floatDtype(tensor), piece)[0] ?? NaN;
    const scale = this.storage === "packed-divide" ? 1 / stored : stored;
    if (scale > 0 && Number.isFinite(Math.fround(scale))) return scale;
    throw new ConversionError(
      `Tensor "${tensor.name}" holds the scale ${stored}; it must be positive. The model is damaged.`,
    );
  }

  private async *counted(codes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of codes) {
      let zeros = 0;
      for (const code of piece) if (code === 1) zeros++;
      this.report.ternaryWeights += piece.length;
      this.report.zeros += zeros;
      yield piece;
    }
  }

  /** The tensor's bytes in pieces that hold whole values. */
  private async *pieces(tensor: SafetensorsTensor): AsyncGenerator<Buffer> {
    const handle = await openForReading(tensor.path);
    try {
      for (let at = 0; at < tensor.byteLength;) {
        if (this.signal?.aborted) throw new AbortError("Conversion was aborted.", { cause: this.signal.reason });
        const piece = Buffer.alloc(Math.min(PIECE_BYTES, tensor.byteLength - at));
        await readFully(handle, piece, tensor.offset + at, tensor.path);
        yield piece;
        at += piece.length;
      }
    } finally {
      await handle.close();
    }
  }

  private take(name: string, ...shapes: (readonly number[])[]): SafetensorsTensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new ModelFormatError(`Tensor "${name}" is missing from the model folder.`);
    this.taken.add(name);
    const same = (shape: readonly number[]): boolean =>
      shape.length === tensor.shape.length && shape.every((size, i) => size === tensor.shape[i]);
    if (shapes.some(same)) return tensor;
    throw new ModelFormatError(
      `"${tensor.path}": tensor "${name}" has shape [${tensor.shape.join(", ")}], but config.json asks for ` +
        `[${shapes[0]?.join(", ")}].`,
    );
  }

  private refuseLeftovers(): void {
    const left = [...this.tensors.keys()].filter(
      (name) => !this.taken.has(name) && !name.endsWith("rotary_emb.inv_freq"),
    );
    if (left.length === 0) return;
    const shown = left.slice(0, 5).join('", "');
    throw new UnsupportedModelError(
      `The model folder has tensors that a BitNet GGUF has no place for: "${shown}"${left.length > 5 ? " and more" : ""}. ` +
        `Leaving them out would change the model's results.`,
    );
  }
}

function floatDtype(tensor: SafetensorsTensor): FloatDtype {
  const { dtype } = tensor;
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") return dtype;
  throw new ModelFormatError(
    `Tensor "${tensor.name}" is ${dtype}; F32, F16 or BF16 is needed. If the weights are packed, config.json must say so ` +
      `(quantization_mode "offline").`,
  );
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
