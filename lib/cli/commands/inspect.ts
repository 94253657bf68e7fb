import { Option, type Command } from "commander";
import { describeModel } from "../../architectures";
import {
  DEFAULT_BATCH_TOKENS,
  estimateMemory,
  formatBytes,
  KV_TYPES,
  type KvType,
  type MemoryEstimate,
} from "../../engine";
import { BitnetError } from "../../errors";
import { BUNDLED_MODEL_PATH } from "../../files/bundled";
import { readGguf, type GgufFile, type GgufValue } from "../../files/gguf";
import { interruptSignal } from "../interrupt";
import { countArgument } from "../numbers";
import { print, printJson, table } from "../output";

interface Flags {
  context?: number;
  kvType: KvType;
  full?: boolean;
  json?: boolean;
}

/** Elements of an array that are shown unless all are asked for. */
const SHOWN_ELEMENTS = 8;

/** `node-bitnet inspect [file]` */
export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("Show what is in a GGUF file, and the memory that running it takes")
    .argument("[file]", "GGUF file (default: the model that ships with the package)")
    .option(
      "-c, --context <n>",
      "context length to count memory for (default: the model's, at most 4096)",
      countArgument,
    )
    .addOption(new Option("--kv-type <type>", "precision of the KV cache").choices(KV_TYPES).default("f16"))
    .option("--full", "show arrays in full")
    .option("--json", "print { metadata, tensors, memory }")
    .action(inspect);
}

async function inspect(path: string | undefined, flags: Flags): Promise<void> {
  const options = { signal: interruptSignal(), allowUnknownTypes: true };
  const file = await readGguf(path ?? BUNDLED_MODEL_PATH, options);
  const { memory, reason } = memoryOf(file, flags);
  const shown = flags.full ? Infinity : SHOWN_ELEMENTS;
  if (flags.json) {
    await printJson({
      path: file.path,
      version: file.version,
      bytes: file.size,
      metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, plain(value, shown)])),
      tensors: file.tensors.map(({ name, dims, format, typeId, offset, byteLength }) => ({
        name,
        dims,
        type: format,
        typeId,
        offset,
        byteLength,
      })),
      memory: memory ?? null,
      ...(reason === undefined ? {} : { unsupported: reason }),
    });
    return;
  }
  await print(`${file.path}: GGUF version ${file.version}, ${formatBytes(file.size)}\n`);
  await print(table([...file.metadata].map(([key, value]) => [key, typeName(value), shortText(value, shown)])));
  const rows = file.tensors.map(({ name, format, dims, byteLength }) => [name, format, dims.join(" x "), byteLength]);
  await print(`\n${table([["tensor", "type", "columns x rows", "bytes"], ...rows])}\n`);
  await print(memory ? memoryText(memory) : `This file cannot be run: ${reason ?? ""}`);
}

/** What a run takes, or why there is none. */
function memoryOf(file: GgufFile, flags: Flags): { memory?: MemoryEstimate; reason?: string } {
  try {
    const spec = describeModel(file);
    const contextLength = flags.context ?? Math.min(spec.contextLength, 4096);
    return {
      memory: estimateMemory(spec, {
        contextLength,
        kvType: flags.kvType,
        maxBatchTokens: DEFAULT_BATCH_TOKENS,
        shortcuts: true,
      }),
    };
  } catch (error) {
    if (error instanceof BitnetError) return { reason: error.message };
    throw error;
  }
}

function memoryText(memory: MemoryEstimate): string {
  const { packedBytes, mappedBytes, kvBytes, shortcutBytes, scratchBytes, totalBytes, contextLength, kvType } = memory;
  return table([
    ["memory for one text", ""],
    ["  ternary weights", formatBytes(packedBytes)],
    ["  embedding, head, norms", formatBytes(mappedBytes)],
    [`  KV cache, ${contextLength} tokens, ${kvType}`, formatBytes(kvBytes)],
    ["  sketch of the head, for decoding", formatBytes(shortcutBytes)],
    ["  intermediate results", formatBytes(scratchBytes)],
    ["  total", formatBytes(totalBytes)],
  ]);
}

function elements(value: GgufValue, most: number): unknown[] {
  if (value.type !== "array") return [];
  const shown: unknown[] = [];
  for (const element of value.value as Iterable<unknown>) {
    if (shown.length >= most) break;
    shown.push(element);
  }
  return shown;
}

/** A value as JSON has it: arrays with their length, so that a shortened one is seen to be; big integers as text. */
function plain(value: GgufValue, most: number): unknown {
  if (value.type !== "array") return simple(value.value);
  return {
    elementType: value.elementType,
    length: value.value.length,
    values: elements(value, most).map((element) => (isNested(element) ? plain(element, most) : simple(element))),
  };
}

function isNested(element: unknown): element is GgufValue {
  return typeof element === "object" && element !== null && "type" in element;
}

function simple(value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

function typeName(value: GgufValue): string {
  return value.type === "array" ? `${value.elementType}[${value.value.length}]` : value.type;
}

function shortText(value: GgufValue, most: number): string {
  const text =
    value.type === "array"
      ? elements(value, most)
          .map((each) => shortElement(each))
          .join(", ")
      : shortElement(value.value);
  const long = value.type === "array" && value.value.length > most;
  return long ? `${text}, ...` : text;
}

function shortElement(element: unknown): string {
  if (isNested(element)) return `[${shortText(element, SHOWN_ELEMENTS)}]`;
  const text = typeof element === "string" ? JSON.stringify(element) : String(element);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
