import { resolve } from "node:path";
import { InvalidOptionError } from "../errors";
import { readGguf, writeGguf, type GgufValue } from "../files/gguf";
import { readSafetensorsFolder } from "../files/safetensors";
import { describeModel } from "../architectures";
import { readHfConfig, type HfConfig } from "./config";
import { readHfTokenizer } from "./tokenizer";
import { WeightConverter, type DenseFormat, type WeightReport } from "./weights";

/** `general.file_type` of I2_S files in bitnet.cpp. */
const FILE_TYPE_I2S = 40;

/** Options of `convertToGguf`. */
export interface ConvertOptions {
  /** Format of embedding and head; default "f16". */
  embeddingType?: DenseFormat;
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
  bytes: number;
  tensors: number;
  architecture: string;
  /** What the user should know, one sentence each. */
  notes: string[];
}

/**
 * Converts a Hugging Face BitNet folder (config.json, tokenizer.json, safetensors with master or packed weights) to one
 * GGUF file with I2_S weights, all hyper-parameters and the tokenizer. Memory stays below the largest packed tensor plus a
 * few megabytes. The file appears complete or not at all.
 * @throws ModelFormatError, UnsupportedModelError, FileError, ConversionError, AbortError, InvalidOptionError.
 */
export async function convertToGguf(
  inputFolder: string,
  outputFile: string,
  options: ConvertOptions = {},
): Promise<ConversionReport> {
  const embeddingType = options.embeddingType ?? "f16";
  if (!["f32", "f16", "bf16"].includes(embeddingType)) {
    throw new InvalidOptionError(
      `Option "embeddingType" is ${JSON.stringify(embeddingType)}; choose f16, bf16 or f32.`,
    );
  }
  const config = await readHfConfig(inputFolder);
  const tokenizer = await readHfTokenizer(inputFolder, config, options.chatTemplate);
  const converter = new WeightConverter(
    await readSafetensorsFolder(inputFolder),
    config.storage,
    embeddingType,
    options.signal,
  );
  const tensors = converter.plan(config);
  // SiLU models are "bitnet" for every reader; the activation is stated besides, because readers differ in what they assume.
  const architecture = config.activation === "relu2" ? "bitnet-b1.58" : "bitnet";
  const metadata = new Map([
    ...generalMetadata(architecture, options),
    ...hyperParameters(architecture, config),
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
  return { path, bytes, tensors: tensors.length, architecture, ...report, notes: notes(report, embeddingType) };
}

function generalMetadata(architecture: string, options: ConvertOptions): [string, GgufValue][] {
  const entries: [string, GgufValue][] = [
    ["general.architecture", { type: "string", value: architecture }],
    ["general.type", { type: "string", value: "model" }],
    ["general.file_type", { type: "uint32", value: FILE_TYPE_I2S }],
    ["general.quantization_version", { type: "uint32", value: 2 }],
  ];
  for (const key of ["name", "license", "description"] as const) {
    const value = options[key];
    if (value !== undefined) entries.push([`general.${key}`, { type: "string", value }]);
  }
  return entries;
}

function hyperParameters(architecture: string, config: HfConfig): [string, GgufValue][] {
  const count = (key: string, value: number): [string, GgufValue] => [
    `${architecture}.${key}`,
    { type: "uint32", value },
  ];
  const real = (key: string, value: number): [string, GgufValue] => [
    `${architecture}.${key}`,
    { type: "float32", value },
  ];
  return [
    count("vocab_size", config.vocabularySize),
    count("context_length", config.contextLength),
    count("embedding_length", config.embeddingLength),
    count("block_count", config.layerCount),
    count("feed_forward_length", config.ffnLength),
    [`${architecture}.hidden_activation`, { type: "string", value: config.activation }],
    count("attention.head_count", config.headCount),
    count("attention.head_count_kv", config.headCountKv),
    count("attention.key_length", config.headDim),
    count("attention.value_length", config.headDim),
    real("attention.layer_norm_rms_epsilon", config.rmsNormEpsilon),
    count("rope.dimension_count", config.headDim),
    real("rope.freq_base", config.ropeTheta),
  ];
}

function notes(report: WeightReport, embeddingType: DenseFormat): string[] {
  const { inexact, maxError } = report.rounding;
  if (inexact === 0) return [];
  return [
    `${inexact} embedding values are not exact in ${embeddingType}; the largest difference is ${maxError.toExponential(2)}. ` +
      `With the embedding type f32 all are exact.`,
  ];
}
