import type { TensorRef } from "../../types/addon";
import { ModelFormatError, UnsupportedModelError } from "../errors";
import type { HfFolder } from "../files/hf_folder";
import type { SafetensorsTensor } from "../files/safetensors";
import type { TensorFinder } from "./decoder";
import type { GptqStorage, WeightStorage } from "./hf_storage";
import { hfNames, type Role } from "./roles";

/** Weight formats of float dtypes. */
const DENSE: Readonly<Record<string, string>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Hands out the tensors of a Hugging Face folder by role; see `GgufTensors`. */
export class HfTensors implements TensorFinder {
  readonly files: readonly string[];
  private readonly taken = new Set<string>();

  constructor(
    private readonly folder: HfFolder,
    private readonly storage: WeightStorage,
    private readonly tied: boolean,
  ) {
    this.files = [...new Set([...folder.tensors.values()].map(({ path }) => path))];
  }

  has(role: Role, layer = 0): boolean {
    return hfNames(role, layer).some((name) => this.folder.tensors.has(name));
  }

  vector(role: Role, length: number, layer = 0): TensorRef {
    return this.floats(role, [length], layer);
  }

  dense(role: Role, rows: number, columns: number): TensorRef {
    return this.floats(role, [rows, columns], 0);
  }

  ternary(role: Role, rows: number, columns: number, layer = 0): TensorRef {
    if (typeof this.storage === "object") return this.gptq(this.storage, role, rows, columns, layer);
    if (this.storage === "master" || this.storage === "unpacked") {
      const ref = this.floats(role, [rows, columns], layer);
      return { ...ref, format: `${ref.format}_${this.storage}` };
    }
    const tensor = this.find(role, layer);
    if (rows % 4 !== 0) {
      throw new ModelFormatError(`Tensor "${tensor.name}" is packed, but has ${rows} rows: not four quarters.`);
    }
    if (tensor.dtype !== "U8") {
      throw new ModelFormatError(
        `Tensor "${tensor.name}" is ${tensor.dtype}, but quantization_config says that weights are packed (U8). Correct ` +
          `config.json, or use the "online" form for master weights.`,
      );
    }
    this.checkShape(tensor, [rows / 4, columns]);
    return { ...this.ref(tensor, rows, columns), format: "hf_packed_u8", scale: this.scale(`${tensor.name}_scale`) };
  }

  finish(): void {
    const left = [...this.folder.tensors.keys()].filter(
      (name) =>
        !this.taken.has(name) &&
        !name.endsWith("rotary_emb.inv_freq") &&
        // A head that is stored although it is tied is the embedding again.
        !(this.tied && name === "lm_head.weight"),
    );
    if (left.length === 0) return;
    const shown = left.slice(0, 5).join('", "');
    throw new UnsupportedModelError(
      `"${this.folder.path}" has tensors that this architecture has no place for: "${shown}"` +
        `${left.length > 5 ? ` and ${left.length - 5} more` : ""}. Leaving them out would change the model's results.`,
    );
  }

  /** The codes of a GPTQ matrix with their scales, zeros and group indices. */
  private gptq(storage: GptqStorage, role: Role, rows: number, columns: number, layer: number): TensorRef {
    const names = hfNames(role, layer).map((name) => name.replace(/\.weight$/, ""));
    const base = names.find((name) => this.folder.tensors.has(`${name}.qweight`)) ?? names[0] ?? "";
    const { bits, zeroOffset } = storage;
    if ((columns * bits) % 32 !== 0 || (rows * bits) % 32 !== 0) {
      throw new UnsupportedModelError(
        `Tensor "${base}.qweight" stands for ${rows} x ${columns} codes of ${bits} bits, which do not fill whole words.`,
      );
    }
    const size = storage.groupSize ?? columns;
    const groups = Math.ceil(columns / size);
    const part = (suffix: string, shape: readonly number[], dtypes: readonly string[]): SafetensorsTensor => {
      const name = `${base}.${suffix}`;
      const tensor = this.folder.tensors.get(name);
      if (tensor === undefined) throw new ModelFormatError(`Tensor "${name}" is missing from the model folder.`);
      this.taken.add(name);
      this.checkShape(tensor, shape);
      if (dtypes.includes(tensor.dtype)) return tensor;
      throw new ModelFormatError(`Tensor "${name}" is ${tensor.dtype}; ${dtypes.join(" or ")} is needed.`);
    };
    const codes = part("qweight", [(columns * bits) / 32, rows], ["I32"]);
    const scales = part("scales", [groups, rows], Object.keys(DENSE));
    const zeros = part("qzeros", [groups, (rows * bits) / 32], ["I32"]);
    const index = this.folder.tensors.has(`${base}.g_idx`) ? part("g_idx", [columns], ["I32"]) : undefined;
    return {
      ...this.ref(codes, rows, columns),
      format: `gptq${bits}`,
      gptq: {
        size,
        zeroOffset,
        scales: { ...this.ref(scales, groups, rows), format: DENSE[scales.dtype] ?? "" },
        zeros: { ...this.ref(zeros, groups, (rows * bits) / 32), format: "i32" },
        ...(index ? { index: { ...this.ref(index, 1, columns), format: "i32" } } : {}),
      },
    };
  }

  private floats(role: Role, shape: readonly number[], layer: number): TensorRef {
    const tensor = this.find(role, layer);
    this.checkShape(tensor, shape);
    const format = Object.hasOwn(DENSE, tensor.dtype) ? DENSE[tensor.dtype] : undefined;
    if (format === undefined) {
      throw new ModelFormatError(
        `Tensor "${tensor.name}" is ${tensor.dtype}; F32, F16 or BF16 is needed. If the weights are packed, config.json ` +
          `must say so (quantization_mode "offline").`,
      );
    }
    const columns = shape.at(-1) ?? 1;
    return { ...this.ref(tensor, shape.length > 1 ? (shape[0] ?? 1) : 1, columns), format };
  }

  private scale(name: string): number {
    const stored = this.folder.scalars.get(name);
    if (stored === undefined) {
      const tensor = this.folder.tensors.get(name);
      throw new ModelFormatError(
        tensor === undefined
          ? `Tensor "${name}" is missing from the model folder.`
          : `Tensor "${name}" is ${tensor.dtype} of shape [${tensor.shape.join(", ")}]; one F32, F16 or BF16 number is needed.`,
      );
    }
    this.taken.add(name);
    const scale = this.storage === "packed-divide" ? 1 / stored : stored;
    if (scale > 0 && Number.isFinite(Math.fround(scale))) return scale;
    throw new ModelFormatError(
      `Tensor "${name}" holds the scale ${stored}; it must be positive. The model is damaged.`,
    );
  }

  private find(role: Role, layer: number): SafetensorsTensor {
    const names = hfNames(role, layer);
    for (const name of names) {
      const tensor = this.folder.tensors.get(name);
      if (tensor === undefined) continue;
      this.taken.add(name);
      return tensor;
    }
    throw new ModelFormatError(`Tensor "${names[0]}" is missing from the model folder.`);
  }

  private checkShape(tensor: SafetensorsTensor, shape: readonly number[]): void {
    if (shape.length === tensor.shape.length && shape.every((size, i) => size === tensor.shape[i])) return;
    throw new ModelFormatError(
      `"${tensor.path}": tensor "${tensor.name}" has shape [${tensor.shape.join(", ")}], but config.json asks for ` +
        `[${shape.join(", ")}].`,
    );
  }

  private ref(tensor: SafetensorsTensor, rows: number, columns: number): Omit<TensorRef, "format"> {
    const { offset, byteLength, name } = tensor;
    return { file: this.files.indexOf(tensor.path), offset, byteLength, rows, columns, name };
  }
}
