import { suggestion } from "../validate";
import { ApiError, invalid, unsupported } from "./api_error";

/** Bounds of a number, both included. */
interface Bounds {
  min?: number;
  max?: number;
}

/**
 * Reads the fields of a JSON object one by one and, at the end, refuses those that nobody asked for, as OpenAI's API
 * does. `null` counts as absent. All methods throw `ApiError` (400) naming the field.
 */
export class Fields {
  private readonly values: ReadonlyMap<string, unknown>;
  private readonly read = new Set<string>();

  /** @param path of this object within the body, empty for the body itself */
  constructor(
    value: unknown,
    private readonly path = "",
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw invalid(
        path === ""
          ? `The request body must be a JSON object, not ${kindOf(value)}.`
          : `Invalid type for '${path}': expected an object, but got ${kindOf(value)}.`,
        path,
        "invalid_type",
      );
    }
    this.values = new Map(Object.entries(value));
  }

  /** The path of a field: "messages[0].role". */
  pathOf(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  /** The value as it is; undefined if absent or null. */
  any(name: string): unknown {
    this.read.add(name);
    return this.values.get(name) ?? undefined;
  }

  /** Whether the field is there and not null. Does not count as reading it. */
  has(name: string): boolean {
    return (this.values.get(name) ?? undefined) !== undefined;
  }

  /** The value of a field that must be there. */
  required<T>(name: string, value: T | undefined): T {
    if (value !== undefined) return value;
    const path = this.pathOf(name);
    throw new ApiError(400, `Missing required parameter: '${path}'.`, {
      param: path,
      code: "missing_required_parameter",
    });
  }

  number(name: string, bounds: Bounds = {}): number | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.wrongType(name, "a number", value);
    this.checkBounds(name, value, bounds);
    return value;
  }

  integer(name: string, bounds: Bounds = {}): number | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value)) throw this.wrongType(name, "an integer", value);
    this.checkBounds(name, value as number, bounds);
    return value as number;
  }

  boolean(name: string): boolean | undefined {
    const value = this.any(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.wrongType(name, "a boolean", value);
  }

  /** @param max most UTF-16 units */
  string(name: string, max = Infinity): string | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (typeof value !== "string") throw this.wrongType(name, "a string", value);
    if (value.length <= max) return value;
    const path = this.pathOf(name);
    const message = `Invalid '${path}': string too long. Expected at most ${max} characters, but got ${value.length}.`;
    throw invalid(message, path, "string_above_max_length");
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.string(name);
    if (value === undefined) return undefined;
    const found = choices.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    const list = choices.map((each) => `'${each}'`).join(", ");
    throw invalid(`Invalid value: '${shorten(value)}'. Supported values are: ${list}.`, this.pathOf(name));
  }

  array(name: string, { min = 0, max = Infinity }: Bounds = {}): unknown[] | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw this.wrongType(name, "an array", value);
    if (value.length >= min && value.length <= max) return value as unknown[];
    const [code, expected] = value.length < min ? ["below_min", `at least ${min}`] : ["above_max", `at most ${max}`];
    throw invalid(
      `Invalid '${this.pathOf(name)}': expected an array with ${expected} items, but got ${value.length}.`,
      this.pathOf(name),
      `array_${code}_length`,
    );
  }

  object(name: string): Fields | undefined {
    const value = this.any(name);
    return value === undefined ? undefined : new Fields(value, this.pathOf(name));
  }

  /** Fields that are known and make no difference here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.read.add(name);
  }

  /** A field that is refused when present. */
  refuse(name: string, reason: string): void {
    if (this.any(name) !== undefined) throw unsupported(this.pathOf(name), reason);
  }

  /** To be called when all that is known was read: refuses the rest. */
  done(): void {
    for (const name of this.values.keys()) {
      if (this.read.has(name)) continue;
      const hint = suggestion(name, [...this.read]);
      throw new ApiError(
        400,
        `Unknown parameter: '${shorten(this.pathOf(name))}'.${hint.startsWith(" Did") ? hint : ""}`,
        { param: shorten(this.pathOf(name)), code: "unknown_parameter" },
      );
    }
  }

  /** The error for a value of the wrong type. */
  wrongType(name: string, expected: string, value: unknown): ApiError {
    const path = this.pathOf(name);
    return invalid(`Invalid type for '${path}': expected ${expected}, but got ${kindOf(value)}.`, path, "invalid_type");
  }

  private checkBounds(name: string, value: number, { min = -Infinity, max = Infinity }: Bounds): void {
    if (value >= min && value <= max) return;
    const path = this.pathOf(name);
    const expected = value < min ? `a value >= ${min}` : `a value <= ${max}`;
    throw invalid(
      `Invalid '${path}': expected ${expected}, but got ${value} instead.`,
      path,
      value < min ? "integer_below_min_value" : "integer_above_max_value",
    );
  }
}

/** A value's type in words. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "number" && !Number.isInteger(value)) return "a decimal number";
  return typeof value === "number" ? "an integer" : `a ${typeof value}`;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
