/**
 * The shortcuts of decoding change no bit: the head's sketch finds the candidates that the whole head finds, and skipping
 * zeros of squared ReLU gives the dense path's logits. On synthetic models: one as random as they come, and heads made so
 * that a sketch is misled (rows that nearly tie, and a few columns that carry most of the error).
 */
import { openSync, readSync, writeSync, closeSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSynthetic } from "../../bench/synthetic/generate";
import { PRESETS, type Shape } from "../../bench/synthetic/shapes";
import { loadAddon } from "../../lib/addon";
import { describeModel } from "../../lib/architectures";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf } from "../../lib/files/gguf";
import type { LoadOptions, ModelSpec, NativeContext } from "../../types/addon";

// The smallest head that gets a sketch: 32 MiB of f16.
const shape: Shape = {
  ...(PRESETS.tiny as Shape),
  layers: 2,
  width: 512,
  ffn: 1536,
  heads: 8,
  kvHeads: 2,
  vocabulary: 33024,
  context: 512,
  activation: "relu2",
  tiedHead: true,
};

let folder: string;
let spec: ModelSpec;
let path: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bitnet-shortcuts-"));
  path = join(folder, "model.gguf");
  await generateSynthetic(path, { shape, deadGates: 0.8, seed: 3, name: "shortcuts" });
  spec = describeModel(await readGguf(path));
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs `use` on a context of the model loaded with `options`. */
async function withContext(
  options: Partial<LoadOptions>,
  use: (context: NativeContext) => Promise<void>,
  maxBatchTokens = 64,
): Promise<void> {
  const model = await loadAddon().loadModel(spec, { threads: 2, ...options }).promise;
  const context = model.createContext({
    threads: 2,
    kvType: "f16",
    kvBlocks: 32,
    maxBatchTokens,
    maxSequenceLength: 512,
  });
  try {
    await use(context);
  } finally {
    context.close();
    model.close();
  }
}

interface Step {
  ids: Int32Array;
  logits: Float32Array;
}

/** Decodes `steps` tokens along a fixed path and returns each step's candidates. */
async function decode(context: NativeContext, steps: number, candidates: number, logSumExp: boolean): Promise<Step[]> {
  const sequence = context.createSequence();
  const found: Step[] = [];
  for (let i = 0; i < steps; i++) {
    const result = await context.forward({
      tokens: Int32Array.of((i * 7919 + 11) % shape.vocabulary),
      sequences: Int32Array.of(sequence),
      want: Uint8Array.of(1),
      candidates,
      logSumExp,
    });
    found.push({ ids: result.candidateIds, logits: result.candidateLogits });
  }
  context.releaseSequence(sequence);
  return found;
}

/** Rewrites the embedding (the tied head) row by row. */
function rewriteHead(value: (row: number, column: number) => number): void {
  const { offset } = spec.tokenEmbedding;
  const file = openSync(path, "r+");
  const row = new Uint16Array(shape.width);
  for (let r = 0; r < shape.vocabulary; r++) {
    for (let c = 0; c < shape.width; c++) row[c] = toHalf(value(r, c));
    writeSync(file, Buffer.from(row.buffer), 0, row.byteLength, offset + r * row.byteLength);
  }
  closeSync(file);
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** f32 -> f16 for values in +-(2^-14 .. 2), truncated: any such head will do. */
function toHalf(value: number): number {
  float[0] = value;
  const bits = floatBits[0] as number;
  const exponent = ((bits >>> 23) & 255) - 112;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** Uniform in -1..1, from two integers alone. */
function noise(row: number, column: number): number {
  const hash = Math.imul(row * 2654435761 + column * 40503 + 12345, 2246822519) >>> 0;
  const mixed = Math.imul(hash ^ (hash >>> 15), 3266489917) >>> 0;
  return ((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 31 - 1;
}

async function expectSameCandidates(steps: number): Promise<void> {
  await withContext({}, async (context) => {
    const whole = await decode(context, steps, 256, true);
    for (const [i, candidates] of [1, 40, 256].entries()) {
      const sketched = await decode(context, steps, candidates, false);
      expect(context.statistics.sketchOutputs).toBe((i + 1) * steps);
      const first = whole.map(({ ids, logits }) => ({
        ids: ids.subarray(0, candidates),
        logits: logits.subarray(0, candidates),
      }));
      expect(sketched).toEqual(first);
    }
  });
}

it("finds the whole head's candidates through the sketch of a random head", async () => {
  await expectSameCandidates(300);
}, 120_000);

it("finds the candidates that masks allow, by the sketch, by the whole head and for few tokens", async () => {
  const words = Math.ceil(shape.vocabulary / 32);
  /** Every step-th token from the start on. */
  const everyNth = (start: number, step: number): Int32Array => {
    const mask = new Int32Array(words);
    for (let id = start; id < shape.vocabulary; id += step) mask[id >>> 5]! |= 1 << (id & 31);
    return mask;
  };
  // All, half of them, about 1,000 (either side of what counts as few), a dozen, one, none; and no mask.
  const masks = [everyNth(0, 1), everyNth(1, 2), everyNth(3, 31), everyNth(3, 33), everyNth(5, 3000), everyNth(7, 1e6)];
  masks.push(new Int32Array(words));
  const maskOf = Int32Array.of(0, 1, 2, -1, 3, 4, 5, 6);
  const outputs = maskOf.length;
  for (const candidates of [1, 40]) {
    await withContext({}, async (context) => {
      for (let step = 0; step < 12; step++) {
        const sequences = Array.from(maskOf, () => context.createSequence());
        const batch = {
          tokens: Int32Array.from(maskOf, (_, i) => (step * 7919 + i * 31 + 11) % shape.vocabulary),
          sequences: Int32Array.from(sequences),
          want: new Uint8Array(outputs).fill(1),
          candidates,
          masks: Int32Array.from(masks.flatMap((mask) => [...mask])),
          maskOf,
        };
        const sketched = await context.forward({ ...batch, logSumExp: false });
        for (const sequence of sequences) context.truncateSequence(sequence, 0);
        const whole = await context.forward({ ...batch, logSumExp: true });
        for (const sequence of sequences) context.truncateSequence(sequence, 0);
        const all = await context.forward({
          ...batch,
          want: new Uint8Array(outputs).fill(2),
          masks: new Int32Array(0),
          maskOf: new Int32Array(0),
        });
        for (const [i, number] of maskOf.entries()) {
          const row = all.logits.subarray(i * shape.vocabulary, (i + 1) * shape.vocabulary);
          const ids = [...row.keys()].filter((id) => number < 0 || (masks[number]![id >>> 5]! >>> (id & 31)) & 1);
          ids.sort((a, b) => row[b]! - row[a]! || a - b);
          const expected = Array.from({ length: candidates }, (_, k) => [
            ids[k] ?? -1,
            k < ids.length ? row[ids[k]!]! : -Infinity,
          ]);
          for (const result of [sketched, whole]) {
            const found = expected.map((_, k) => [
              result.candidateIds[i * candidates + k],
              result.candidateLogits[i * candidates + k],
            ]);
            expect(found).toEqual(expected);
          }
        }
        for (const sequence of sequences) context.releaseSequence(sequence);
      }
      expect(context.statistics.sketchOutputs).toBe(12 * 4);
    });
  }
}, 120_000);

it("refuses masks that do not fit", async () => {
  await withContext({}, async (context) => {
    const words = Math.ceil(shape.vocabulary / 32);
    const sequence = context.createSequence();
    const batch = {
      tokens: Int32Array.of(1),
      sequences: Int32Array.of(sequence),
      want: Uint8Array.of(1),
      candidates: 1,
    };
    const wrong = [
      { masks: new Int32Array(words - 1), maskOf: Int32Array.of(0) },
      { masks: new Int32Array(words), maskOf: Int32Array.of(1) },
      { masks: new Int32Array(words), maskOf: Int32Array.of(-2) },
      { masks: new Int32Array(words), maskOf: Int32Array.of(0, 0) },
      { maskOf: Int32Array.of(0) },
    ];
    for (const each of wrong) expect(() => context.forward({ ...batch, ...each })).toThrow(/mask/i);
    expect(() => context.forward({ ...batch, masks: [1] as never })).toThrow(/masks/);
    expect(
      (await context.forward({ ...batch, masks: new Int32Array(words), maskOf: Int32Array.of(-1) })).candidateIds[0],
    ).toBeGreaterThanOrEqual(0);
  });
});

it("finds the trained model's candidates on 10,000 greedy steps and more", async () => {
  const bundled = describeModel(await readGguf(BUNDLED_MODEL_PATH));
  const model = await loadAddon().loadModel(bundled, { threads: 2, head: "sketch" }).promise;
  const context = model.createContext({
    threads: 1,
    kvType: "f16",
    kvBlocks: 640,
    maxBatchTokens: 40,
    maxSequenceLength: 512,
  });
  try {
    // 40 stories side by side, each begun with another token; greedy for a while, then along the ranks.
    const sequences = Array.from({ length: 40 }, () => context.createSequence());
    let tokens = Int32Array.from(sequences, (_, i) => 300 + 91 * i);
    let different = 0;
    const steps = 255;
    for (let step = 0; step < steps; step++) {
      const batch = {
        tokens,
        sequences: Int32Array.from(sequences),
        want: new Uint8Array(40).fill(1),
        candidates: 40,
      };
      const lengths = sequences.map((sequence) => context.sequenceLength(sequence));
      const sketched = await context.forward({ ...batch, logSumExp: false });
      sequences.forEach((sequence, i) => {
        context.truncateSequence(sequence, lengths[i] as number);
      });
      const whole = await context.forward({ ...batch, logSumExp: true });
      for (let i = 0; i < 40 * 40; i++) {
        if (
          sketched.candidateIds[i] !== whole.candidateIds[i] ||
          sketched.candidateLogits[i] !== whole.candidateLogits[i]
        ) {
          different++;
        }
      }
      const rank = step < 128 ? 0 : step % 3;
      tokens = Int32Array.from(sequences, (_, i) => whole.candidateIds[i * 40 + rank] as number);
    }
    expect(context.statistics.sketchOutputs).toBe(40 * steps);
    expect(different).toBe(0);
  } finally {
    context.close();
    model.close();
  }
}, 240_000);

it("skips dead gates and zero inputs without changing a bit", async () => {
  const results: Step[][] = [];
  for (const options of [{}, { sparsity: false, head: "full" as const }, { kernel: "scalar" }]) {
    await withContext(options, async (context) => {
      results.push(await decode(context, 30, 40, false));
      const { gates, liveGates } = context.statistics;
      // The generator promises 0.8 dead gates within 0.03 in every layer.
      expect(1 - liveGates / gates).toBeGreaterThan(0.7);
      expect(1 - liveGates / gates).toBeLessThan(0.9);
    });
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
}, 120_000);

it("skips dead gates of texts side by side without changing a bit", async () => {
  const texts = 12;
  const results: Buffer[] = [];
  for (const options of [{}, { sparsity: false, head: "full" as const }, { kernel: "scalar" }, { threads: 1 }]) {
    await withContext(options, async (context) => {
      const sequences = Int32Array.from({ length: texts }, () => context.createSequence());
      const steps: Buffer[] = [];
      for (let step = 0; step < 10; step++) {
        // More of them at every step, so that products of every width occur.
        const running = sequences.subarray(0, step + 3);
        const result = await context.forward({
          tokens: running.map((_, i) => (step * 7919 + i * 131 + 11) % shape.vocabulary),
          sequences: running,
          want: new Uint8Array(running.length).fill(2),
          candidates: 1,
        });
        steps.push(Buffer.from(result.logits.slice().buffer));
      }
      results.push(Buffer.concat(steps));
      const { gates, liveGates } = context.statistics;
      expect(1 - liveGates / gates).toBeGreaterThan(0.7);
      expect(1 - liveGates / gates).toBeLessThan(0.9);
    });
  }
  for (const other of results.slice(1)) expect(other.equals(results[0] as Buffer)).toBe(true);
}, 120_000);

it("skips dead gates and zero inputs of prompts without changing a bit", async () => {
  const results: Buffer[] = [];
  for (const options of [{}, { sparsity: false, head: "full" as const }, { kernel: "scalar" }, { threads: 1 }]) {
    await withContext(
      options,
      async (context) => {
        const prompts: Buffer[] = [];
        // On both sides of a list's 32 tokens, a multiple of them, and a part behind several.
        for (const length of [32, 33, 64, 150]) {
          const sequence = context.createSequence();
          const result = await context.forward({
            tokens: Int32Array.from({ length }, (_, i) => (length * 7919 + i * 131 + 11) % shape.vocabulary),
            sequences: new Int32Array(length).fill(sequence),
            want: new Uint8Array(length).map((_, i) => (i % 37 === 0 || i === length - 1 ? 2 : 0)),
            candidates: 1,
          });
          prompts.push(Buffer.from(result.logits.slice().buffer));
          context.releaseSequence(sequence);
        }
        results.push(Buffer.concat(prompts));
        const { downInputs, liveDownInputs } = context.statistics;
        expect(downInputs).toBe(options.sparsity === false ? 0 : 279 * shape.layers * shape.ffn);
        if (options.sparsity !== false) expect(liveDownInputs / downInputs).toBeLessThan(0.25);
      },
      160,
    );
  }
  for (const other of results.slice(1)) expect(other.equals(results[0] as Buffer)).toBe(true);
}, 120_000);

it("finds the same candidates where rows nearly tie", async () => {
  rewriteHead((row, column) => noise(row % 97, column) / 8 + noise(row, column) / 4096);
  await expectSameCandidates(60);
}, 120_000);

it("finds the same candidates where a few columns carry most of the error", async () => {
  rewriteHead((row, column) => (column % 64 === 0 ? 1 : 1 / 32) * noise(row, column));
  await expectSameCandidates(60);
}, 120_000);

it("reads a head back as it was written", () => {
  const row = Buffer.alloc(2);
  const file = openSync(path, "r");
  readSync(file, row, 0, 2, spec.tokenEmbedding.offset + 5 * shape.width * 2);
  closeSync(file);
  expect(row.readUInt16LE()).toBe(toHalf(noise(5, 0)));
});
