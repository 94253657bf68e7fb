import type { TensorRef } from "../../types/addon";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import { tensorTypeByName, type GgufFile } from "../files/gguf";
import type { TensorFinder } from "./decoder";
import { ggufNames, type Role } from "./roles";

/** Formats a vector may have: ggml writes one-dimensional tensors as f32, bitnet.cpp's embedding models as f16. */
const VECTOR_FORMATS = ["f32", "f16", "bf16"];

/**
 * Hands out the tensors of a GGUF file by role, checking shapes, and in the end refuses those nobody asked for: a bias
 * or a scale that is ignored gives wrong results silently.
 */
export class GgufTensors implements TensorFinder {
  readonly files: readonly string[];
  private readonly taken = new Set<string>();

  constructor(private readonly file: GgufFile) {
    this.files = [file.path];
  }

  has(role: Role, layer = 0): boolean {
    return ggufNames(role, layer).some((name) => this.file.tensorsByName.has(name));
  }

  vector(role: Role, length: number, layer = 0): TensorRef {
    const ref = this.take(role, layer, [length]);
    if (!VECTOR_FORMATS.includes(ref.format)) {
      throw new UnsupportedModelError(
        `"${this.file.path}": tensor "${ref.name}" is ${ref.format}; norms and biases must be ` +
          `${VECTOR_FORMATS.join(", ")}. Convert the model again.`,
      );
    }
    return ref;
  }

  ternary(role: Role, rows: number, columns: number, layer = 0): TensorRef {
    const ref = this.take(role, layer, [columns, rows]);
    const type = tensorTypeByName(ref.format);
    if (type?.linear !== true) {
      throw new UnsupportedModelError(
        `"${this.file.path}": tensor "${ref.name}" is ${ref.format}, which is neither ternary nor made of codes with a scale ` +
          `per group. Use an I2_S file of the model, or convert the original with "node-bitnet convert".`,
      );
    }
    return ref;
  }

  /** Whether the addon reads the format is the addon's to say. */
  dense(role: Role, rows: number, columns: number): TensorRef {
    return this.take(role, 0, [columns, rows]);
  }

  finish(): void {
    const left = this.file.tensors.filter((tensor) => !this.taken.has(tensor.name)).map((tensor) => `"${tensor.name}"`);
    if (left.length === 0) return;
    const shown = left.slice(0, 5).join(", ") + (left.length > 5 ? ` and ${left.length - 5} more` : "");
    throw new UnsupportedModelError(
      `"${this.file.path}" has tensors that this architecture does not use: ${shown}. Ignoring them would change the ` +
        `model's results; use a file without them.`,
    );
  }

  private take(role: Role, layer: number, dims: readonly number[]): TensorRef {
    const names = ggufNames(role, layer);
    const name = names.find((each) => this.file.tensorsByName.has(each)) ?? names[0];
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
