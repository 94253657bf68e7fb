import { ModelFormatError, UnsupportedModelError } from "../errors";

/** Keys that do not change what a model computes in inference. */
const HARMLESS = new Set([
  "_name_or_path",
  "architectures",
  "attention_dropout",
  "auto_map",
  "cache_implementation",
  "dtype",
  "hidden_dropout",
  "initializer_range",
  "model_type",
  "pretraining_tp",
  "torch_dtype",
  "transformers_version",
  "use_cache",
]);

/** A JSON object whose keys are taken one by one; what is left in the end is unknown, and refused. */
export class HfFields {
  private readonly taken = new Set<string>();

  /** @param prefix names nested objects in messages: "rope_scaling." */
  constructor(
    readonly path: string,
    private readonly object: Readonly<Record<string, unknown>>,
    private readonly prefix = "",
  ) {}

  take(key: string): unknown {
    this.taken.add(key);
    return this.object[key];
  }

  /** A key that must be absent, null or have one of these values. */
  fixed(key: string, ...wanted: unknown[]): void {
    const value = this.take(key);
    if (value === undefined || value === null || wanted.includes(value)) return;
    throw new UnsupportedModelError(
      `"${this.path}": "${this.prefix}${key}" is ${JSON.stringify(value)}; only ` +
        `${wanted.map((each) => JSON.stringify(each)).join(" or ")} can be run.`,
    );
  }

  count(key: string): number {
    const value = this.take(key);
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 1 << 24) return value;
    throw this.wrong(key, "a positive integer");
  }

  optionalCount(key: string): number | undefined {
    const value = this.take(key);
    return value === undefined || value === null ? undefined : this.count(key);
  }

  positive(key: string): number {
    const value = this.take(key);
    if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
    throw this.wrong(key, "a positive number");
  }

  optionalPositive(key: string): number | undefined {
    const value = this.take(key);
    return value === undefined || value === null ? undefined : this.positive(key);
  }

  boolean(key: string): boolean | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.wrong(key, "true or false");
  }

  /** A token id, a list of them, or nothing. */
  ids(key: string): number[] {
    const value = this.take(key);
    const list: unknown[] = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
    if (list.every((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0)) return list;
    throw this.wrong(key, "a token id or a list of them");
  }

  wrong(key: string, wanted: string): ModelFormatError {
    const value = JSON.stringify(this.object[key]) as string | undefined;
    return new ModelFormatError(
      `"${this.path}": "${this.prefix}${key}" is ${value ?? "missing"}; it must be ${wanted}.`,
    );
  }

  /** @throws UnsupportedModelError naming keys that were not taken */
  finish(): void {
    const left = Object.keys(this.object).filter(
      (key) => !this.taken.has(key) && !(this.prefix === "" && HARMLESS.has(key)),
    );
    if (left.length === 0) return;
    throw new UnsupportedModelError(
      `"${this.path}" has keys that are unknown here and may change the model's results: ` +
        `${left.map((key) => `"${this.prefix}${key}"`).join(", ")}.`,
    );
  }
}
