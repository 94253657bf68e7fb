import { loadAddon } from "../addon";
import { DEFAULT_BATCH_TOKENS, type ModelOptions } from "../engine";
import { InvalidOptionError } from "../errors";
import { Model } from "../model";
import { Random } from "../sampling";
import { median as medianOf } from "./compare_builds";

/** What is measured. */
export interface BenchOptions {
  /** Tokens of the prompt that prefill reads. */
  prompt: number;
  /** Tokens that decode generates. */
  generate: number;
  /** Tokens of the prompt before decode. */
  decodePrompt: number;
  /** Numbers of threads, each measured by itself. */
  threads: readonly number[];
  /** Measurements of which the median is taken. */
  repeat: number;
  signal?: AbortSignal;
  /** Called with a word on what is being done. */
  onStep?: (step: string) => void;
}

/** One line of the result: the median of the measurements. */
export interface BenchResult {
  test: "prefill" | "decode";
  /** Tokens that were read or generated. */
  tokens: number;
  /** Tokens that were in the context before. */
  context: number;
  threads: number;
  kernel: string;
  tokensPerSecond: number;
  /** Bytes of weights read for one token; in prefill a step's tokens share them. */
  weightBytesPerToken: number;
  /** tokensPerSecond * weightBytesPerToken, in 1e9 bytes. */
  gigabytesPerSecond: number;
  /** Multiply-adds of the ternary matrices per second, in 1e9. */
  gigamacsPerSecond: number;
}

/** The read bandwidth of the memory, beside which decode speed is to be seen. */
export interface BandwidthResult {
  threads: number;
  gigabytesPerSecond: number;
}

/** The whole measurement. */
export interface BenchReport {
  model: string;
  cpu: string;
  /** Most memory that the process had in use, in MiB, up to the end of the model's measurements. */
  peakMemoryMiB: number;
  results: BenchResult[];
  bandwidth: BandwidthResult[];
}

const PROBE_BYTES = 2 ** 28;

/**
 * Measures a model: prefill reads a prompt of random tokens, decode generates behind a short one, through the whole
 * engine, sampling and streaming included. Speeds are medians.
 */
export async function benchModel(
  path: string | undefined,
  modelOptions: ModelOptions,
  options: BenchOptions,
): Promise<BenchReport> {
  const addon = loadAddon();
  const report: BenchReport = { model: "", cpu: addon.cpu().model, peakMemoryMiB: 0, results: [], bandwidth: [] };
  for (const threads of options.threads) {
    options.onStep?.(`loading with ${threads} threads`);
    // One text at a time, and no longer a cache than it needs: so the peak is what a user of one text sees.
    const model = await Model.load(path, { maxConcurrent: 1, ...modelOptions, threads });
    try {
      report.model = model.info.name ?? model.info.path;
      report.results.push(await measurePrefill(model, options), await measureDecode(model, options));
    } finally {
      await model.close();
    }
  }
  report.peakMemoryMiB = addon.peakMemoryBytes() / 2 ** 20;
  for (const threads of options.threads) {
    options.onStep?.(`measuring memory with ${threads} threads`);
    const { gigabytesPerSecond } = await addon.probeBandwidth(PROBE_BYTES, threads);
    report.bandwidth.push({ threads, gigabytesPerSecond });
  }
  return report;
}

async function measurePrefill(model: Model, options: BenchOptions): Promise<BenchResult> {
  // One position must be left for the token behind the prompt.
  const tokens = Math.min(options.prompt, model.info.contextLength - 1);
  const { bytesPerToken } = model.info;
  const steps = Math.ceil(tokens / DEFAULT_BATCH_TOKENS);
  const tokensPerSecond = await median(options, `prefill of ${tokens} tokens`, async (round) => {
    const { timings } = await model.generate(randomTokens(model, tokens, round), {
      ...signalOf(options),
      maxTokens: 1,
      temperature: 0,
    });
    return timings.promptTokensPerSecond;
  });
  return result(model, "prefill", tokens, 0, tokensPerSecond, (bytesPerToken * steps) / tokens);
}

async function measureDecode(model: Model, options: BenchOptions): Promise<BenchResult> {
  const { generate, decodePrompt } = options;
  if (decodePrompt + generate > model.info.contextLength) {
    throw new InvalidOptionError(
      `bench model: ${decodePrompt} prompt tokens and ${generate} generated ones exceed the context of ` +
        `${model.info.contextLength}; lower --generate or --decode-prompt, or raise --context.`,
    );
  }
  const tokensPerSecond = await median(options, `decode of ${generate} tokens`, async (round) => {
    const stream = model.stream(randomTokens(model, decodePrompt, round), {
      ...signalOf(options),
      maxTokens: generate,
      ignoreEos: true,
      seed: round,
    });
    let speed = 0;
    for await (const { timings } of stream) speed = timings?.decodeTokensPerSecond ?? speed;
    return speed;
  });
  return result(model, "decode", generate, decodePrompt, tokensPerSecond, model.info.bytesPerToken);
}

function result(
  model: Model,
  test: BenchResult["test"],
  tokens: number,
  context: number,
  tokensPerSecond: number,
  weightBytesPerToken: number,
): BenchResult {
  const { threads, kernel, macsPerToken } = model.info;
  return {
    test,
    tokens,
    context,
    threads,
    kernel,
    tokensPerSecond,
    weightBytesPerToken,
    gigabytesPerSecond: (tokensPerSecond * weightBytesPerToken) / 1e9,
    gigamacsPerSecond: (tokensPerSecond * macsPerToken) / 1e9,
  };
}

/** The median of `repeat` measurements, after one that is thrown away because caches and clocks were cold. */
async function median(
  { repeat, onStep }: BenchOptions,
  what: string,
  measure: (round: number) => Promise<number>,
): Promise<number> {
  const values: number[] = [];
  for (let round = 0; round <= repeat; round++) {
    onStep?.(round === 0 ? `${what}, warming up` : `${what}, ${round} of ${repeat}`);
    const value = await measure(round);
    if (round > 0) values.push(value);
  }
  return medianOf(values);
}

function randomTokens(model: Model, count: number, seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Math.floor(random.nextUnit() * model.info.vocabularySize));
}

function signalOf({ signal }: BenchOptions): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}
