import type { TensorRef } from "../../types/addon";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { tensorTypeByName, type GgufFile } from "../files/gguf";

/** Tensor formats a norm may have: ggml writes one-dimensional tensors as f32. */
const NORM_FORMATS = ["f32"];

/**
 * Hands out the tensors of a file by role, checking shapes, and in the end refuses those nobody asked for: a bias or a
 * scale that is ignored gives wrong results silently.
 */
export class TensorTaker {
  private readonly taken = new Set<string>();

  constructor(private readonly file: GgufFile) {}

  /** A norm's weight vector. */
  norm(name: string, length: number): TensorRef {
    const ref = this.take(name, [length]);
    if (!NORM_FORMATS.includes(ref.format)) {
      throw new UnsupportedModelError(
        `"${this.file.path}": tensor "${name}" is ${ref.format}; norms must be f32. Convert the model again.`,
      );
    }
    return ref;
  }

  /** A ternary matrix of a linear layer. */
  ternary(name: string, rows: number, columns: number): TensorRef {
    const ref = this.take(name, [columns, rows]);
    if (tensorTypeByName(ref.format)?.ternary !== true) {
      throw new UnsupportedModelError(
        `"${this.file.path}": tensor "${name}" is ${ref.format}, which is not a ternary type. Convert the original model ` +
          `with "node-bitnet convert", which writes I2_S.`,
      );
    }
    return ref;
  }

  /** An embedding or head. Whether the addon reads its format is the addon's to say. */
  dense(name: string, rows: number, columns: number): TensorRef {
    return this.take(name, [columns, rows]);
  }

  has(name: string): boolean {
    return this.file.tensorsByName.has(name);
  }

  /** @throws UnsupportedModelError naming tensors that were never taken. */
  finish(): void {
    const left = this.file.tensors.filter((tensor) => !this.taken.has(tensor.name)).map((tensor) => `"${tensor.name}"`);
    if (left.length === 0) return;
    const shown = left.slice(0, 5).join(", ") + (left.length > 5 ? ` and ${left.length - 5} more` : "");
    throw new UnsupportedModelError(
      `"${this.file.path}" has tensors that this architecture does not use: ${shown}. Ignoring them would change the ` +
        `model's results; use a file without them.`,
    );
  }

  private take(name: string, dims: readonly number[]): TensorRef {
    const tensor = this.file.tensorsByName.get(name);
    if (tensor === undefined) {
      throw new ModelFormatError(
        `"${this.file.path}": tensor "${name}" is missing. The file is incomplete; download or convert it again.`,
      );
    }
    const same = tensor.dims.every((size, i) => size === (dims[i] ?? 1)) && tensor.dims.length >= dims.length;
    if (!same) {
      throw new ModelFormatError(
        `"${this.file.path}": tensor "${name}" has shape [${tensor.dims.join(", ")}], but the hyper-parameters ask for ` +
          `[${dims.join(", ")}]. The file is damaged or converted wrongly.`,
      );
    }
    this.taken.add(name);
    return {
      file: 0,
      offset: tensor.offset,
      byteLength: tensor.byteLength,
      format: tensor.format,
      rows: dims[1] ?? 1,
      columns: dims[0] ?? 1,
      name,
    };
  }
}
