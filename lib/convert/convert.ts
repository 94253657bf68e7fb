import { resolve } from "node:path";
import type { ModelSpec } from "../../types/addon";
import { describeFolder, describeModel } from "../architectures";
import { InvalidOptionError } from "../errors";
import { readGguf, writeGguf, type GgufValue } from "../files/gguf";
import { readHfFolder } from "../files/hf_folder";
import { readHfSettings, type Pooling } from "../files/hf_settings";
import { hyperParameters } from "./metadata";
import { DENSE_TYPES, type DenseFormat } from "./dense";
import { TERNARY_TYPES, type TernaryFormat } from "./packing";
import { readHfTokenizer } from "./tokenizer";
import { WeightConverter, type WeightReport } from "./weights";

/** Options of `convertToGguf`. */
export interface ConvertOptions {
  /**
   * Type of the ternary matrices; default "i2_s". "tq1_0" and "tq2_0" are llama.cpp's: blocks of 256 with a scale in half
   * precision, which rounds it; "q2_0" has blocks of 64, for models with scales by group. "t5" is this package's own, the
   * smallest: 1.6 bits a weight for any number of columns, with exact scales.
   */
  type?: TernaryFormat;
  /**
   * Format of the embedding; default "f16". "q8_0" and "q6_k" take a half and two fifths of its memory and round; "q2_0"
   * is for embeddings that are ternary.
   */
  embeddingType?: DenseFormat;
  /** Format of a head of its own; default that of the embedding. */
  headType?: DenseFormat;
  /** `general.name`; absent: none. */
  name?: string;
  /** `general.license`, an SPDX identifier; absent: none. */
  license?: string;
  /** `general.description`; absent: none. */
  description?: string;
  /** Jinja source that replaces the folder's chat template. */
  chatTemplate?: string;
  /** Stops the conversion; nothing is left of the output and the promise rejects with `AbortError`. */
  signal?: AbortSignal;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/** What a conversion did. */
export interface ConversionReport extends WeightReport {
  /** Absolute path of the GGUF file. */
  path: string;
  /** Size of the file. */
  bytes: number;
  /** Tensors in it. */
  tensors: number;
  /** `general.architecture` of the file. */
  architecture: string;
  /** What the user should know, one sentence each. */
  notes: string[];
}

/**
 * Converts a Hugging Face folder (config.json, tokenizer, safetensors with master or packed weights) to one GGUF file with
 * all hyper-parameters and the tokenizer. Memory stays below the largest packed tensor plus a few megabytes. The file
 * appears complete or not at all.
 * @throws ModelFormatError, UnsupportedModelError, FileError, ConversionError, AbortError, InvalidOptionError.
 */
export async function convertToGguf(
  inputFolder: string,
  outputFile: string,
  options: ConvertOptions = {},
): Promise<ConversionReport> {
  const ternaryType = options.type ?? "i2_s";
  if (!Object.hasOwn(TERNARY_TYPES, ternaryType)) {
    throw new InvalidOptionError(
      `Option "type" is ${JSON.stringify(ternaryType)}; choose ${Object.keys(TERNARY_TYPES).join(", ")}.`,
    );
  }
  const embeddingType = denseFormat("embeddingType", options.embeddingType ?? "f16");
  const headType = denseFormat("headType", options.headType ?? embeddingType);
  const folder = await readHfFolder(inputFolder);
  const spec = describeFolder(folder);
  const settings = await readHfSettings(folder);
  const chatTemplate = options.chatTemplate ?? settings.chatTemplate;
  const tokenizer = await readHfTokenizer(folder.path, spec.vocabularySize, { ...settings, chatTemplate });
  // llama.cpp knows the sub-norms only as "bitnet"; the activation is stated besides.
  const architecture =
    !["i2_s", "t5"].includes(ternaryType) && spec.architecture === "bitnet-b1.58" ? "bitnet" : spec.architecture;
  const converter = new WeightConverter(spec, {
    ternaryType,
    embeddingType,
    headType,
    permute: architecture === "llama",
    signal: options.signal,
  });
  const tensors = converter.plan();
  const metadata = new Map([
    ...generalMetadata(architecture, TERNARY_TYPES[ternaryType].fileType, options),
    ...hyperParameters(architecture, spec),
    ...poolingMetadata(architecture, settings.pooling),
    ...tokenizer,
  ]);
  const path = resolve(outputFile);
  const bytes = await writeGguf(
    path,
    { metadata, tensors },
    {
      ...(options.signal ? { signal: options.signal } : {}),
      onProgress: (written, total) => options.onProgress?.(written / total),
    },
  );
  // What was written must be what the engine reads: cheap, and it turns a converter's mistake into an error here.
  describeModel(await readGguf(path));
  const { report } = converter;
  return {
    path,
    bytes,
    tensors: tensors.length,
    architecture,
    ...report,
    notes: notes(report, spec, architecture, options),
  };
}

function denseFormat(option: string, value: DenseFormat): DenseFormat {
  if (Object.hasOwn(DENSE_TYPES, value)) return value;
  throw new InvalidOptionError(
    `Option "${option}" is ${JSON.stringify(value)}; choose ${Object.keys(DENSE_TYPES).join(", ")}.`,
  );
}

function generalMetadata(
  architecture: string,
  fileType: number | undefined,
  options: ConvertOptions,
): [string, GgufValue][] {
  const entries: [string, GgufValue][] = [
    ["general.architecture", { type: "string", value: architecture }],
    ["general.type", { type: "string", value: "model" }],
    ...(fileType === undefined
      ? []
      : [["general.file_type", { type: "uint32", value: fileType }] as [string, GgufValue]]),
    ["general.quantization_version", { type: "uint32", value: 2 }],
  ];
  for (const key of ["name", "license", "description"] as const) {
    const value = options[key];
    if (value !== undefined) entries.push([`general.${key}`, { type: "string", value }]);
  }
  return entries;
}

const POOLING_TYPES: Readonly<Record<Pooling, number>> = { mean: 1, first: 2, last: 3 };

function poolingMetadata(architecture: string, pooling: Pooling | undefined): [string, GgufValue][] {
  if (pooling === undefined) return [];
  return [[`${architecture}.pooling_type`, { type: "uint32", value: POOLING_TYPES[pooling] }]];
}

function notes(report: WeightReport, spec: ModelSpec, architecture: string, options: ConvertOptions): string[] {
  const list: string[] = [];
  const { inexact, maxError } = report.rounding;
  if (inexact > 0) {
    list.push(
      `${inexact} embedding values are not exact in ${options.embeddingType ?? "f16"}; the largest difference is ` +
        `${maxError.toExponential(2)}. With the embedding type f32 all are exact.`,
    );
  }
  const { type = "i2_s" } = options;
  if (type === "t5") list.push("Only this package reads the type t5.");
  else if (type !== "i2_s") {
    list.push("Scales are rounded to half precision, as the type demands; i2_s and t5 keep them.");
    if (architecture === "bitnet" && spec.activation === "relu2") {
      list.push("The model uses squared ReLU, which the file says; llama.cpp computes SiLU for every bitnet file.");
    }
  }
  return list;
}
