/** What a fuzz target is, and the generators that several of them use. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { BitnetError } from "../../lib/errors";

/** Something that reads what strangers wrote. Inputs are plain data, so that a finding can be kept as JSON. */
export interface Target<Input = unknown> {
  readonly name: string;
  /** Folders and files of lib/ whose coverage is reported. */
  readonly covers: readonly string[];
  /** Share of the time, beside the other targets'. */
  readonly weight: number;
  readonly inputs: fc.Arbitrary<Input>;
  /** Throws where the input showed a fault; a typed refusal is none. */
  check(input: Input): void | Promise<void>;
  /** Ends what the checks keep running. */
  close?(): Promise<void>;
}

/** The result of `action`, or undefined where it refused with an error of this package. Other errors are findings. */
export async function refusable<T>(action: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof BitnetError && error.message.length > 0) return undefined;
    throw error;
  }
}

/** What the addon may answer: a value, or an error with one of its codes. */
export async function answered(action: () => unknown): Promise<unknown> {
  try {
    return await action();
  } catch (error) {
    if (/^ERR_[A-Z_]+$/.test(String((error as { code?: unknown }).code))) return undefined;
    throw error;
  }
}

/** Bytes as base64, for inputs. */
export type Bytes = string;

export function bytesOf(input: Bytes): Buffer {
  return Buffer.from(input, "base64");
}

const INTERESTING = [0, 1, 2, 7, 8, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const LARGE = [2 ** 40, 2 ** 53 - 1, 2 ** 53];

/** A number that is on the edge of something. */
export const edgeNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(...INTERESTING),
  fc.nat(300),
  fc.constantFrom(...LARGE),
);

/** A change to a file's bytes. */
export interface Edit {
  kind: "byte" | "u32" | "u64" | "cut" | "insert" | "double";
  /** Where, as a share of the length; small shares, where headers are, come more often. */
  at: number;
  value: number;
}

/** A change anywhere. */
export const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom("byte", "u32", "u64", "cut", "insert", "double"),
  at: fc.double({ min: 0, max: 1, noNaN: true }).map((share) => share * share),
  value: edgeNumber,
});

/** A copy with a change. */
export function apply(bytes: Buffer, { kind, at, value }: Edit): Buffer {
  const position = Math.floor(at * Math.max(0, bytes.length - 8));
  if (bytes.length < 8) return bytes;
  const copy = Buffer.from(bytes);
  switch (kind) {
    case "byte":
      copy[position] = value % 256;
      return copy;
    case "u32":
      copy.writeUInt32LE(value % 2 ** 32, position);
      return copy;
    case "u64":
      copy.writeBigUInt64LE(BigInt(value), position);
      return copy;
    case "cut":
      return copy.subarray(0, position);
    case "insert":
      return Buffer.concat([
        copy.subarray(0, position),
        Buffer.alloc((value % 64) + 1, value),
        copy.subarray(position),
      ]);
    case "double":
      return Buffer.concat([copy.subarray(0, position + 8), copy.subarray(position)]);
  }
}

/** Files with a few bytes changed, cut off, put in or doubled. */
export function damaged(files: fc.Arbitrary<Buffer>, mostEdits = 4): fc.Arbitrary<Bytes> {
  return fc
    .tuple(files, fc.array(edit, { maxLength: mostEdits }))
    .map(([file, edits]) => edits.reduce(apply, file).toString("base64"));
}

/** JSON values with a few parts replaced by values of any kind. */
export function damagedJson(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({ at: fc.nat(10_000), value: anyJson, drop: fc.boolean() });
  return fc.tuple(values, fc.array(change, { maxLength: 3 })).map(([value, changes]) => {
    const copy = structuredClone(value);
    for (const { at, value: other, drop } of changes) {
      const places = placesOf(copy);
      const place = places[at % Math.max(1, places.length)];
      if (!place) continue;
      if (drop && !Array.isArray(place.owner)) Reflect.deleteProperty(place.owner, place.key);
      else (place.owner as Record<string, unknown>)[place.key] = other;
    }
    return copy;
  });
}

/** Any JSON value, numbers and texts on edges more often. */
export const anyJson: fc.Arbitrary<unknown> = fc.oneof(
  edgeNumber,
  edgeNumber.map((value) => -value),
  fc.constantFrom(null, true, false, "", "a", [], {}, 0.5, 1e308, "__proto__"),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.jsonValue({ maxDepth: 3 }),
);

function placesOf(value: unknown, found: { owner: object; key: string }[] = []): { owner: object; key: string }[] {
  if (typeof value !== "object" || value === null) return found;
  for (const key of Object.keys(value)) {
    found.push({ owner: value, key });
    placesOf((value as Record<string, unknown>)[key], found);
  }
  return found;
}

let folder: string | undefined;

/** A folder for this process's files, removed at its end. */
export function workFolder(): string {
  if (!folder) {
    const made = mkdtempSync(join(tmpdir(), "node-bitnet-fuzz-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return folder;
}

/** Writes bytes to a file of the work folder; the path. */
export function fileOf(name: string, bytes: Uint8Array | string): string {
  const path = join(workFolder(), name);
  writeFileSync(path, bytes);
  return path;
}
