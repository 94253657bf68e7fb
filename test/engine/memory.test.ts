/** What the head's sketch takes, and that a memory limit gives it up before anything else. */
import { sketchBytes } from "../../lib/architectures";
import { resolveModelOptions } from "../../lib/engine/options";
import { OutOfMemoryError } from "../../lib/errors";
import { planContext } from "../../lib/engine/plan";
import type { ModelSpec, TensorRef } from "../../types/addon";

const tensor = (format: string, rows: number, columns: number, byteLength = 0): TensorRef => ({
  ...{ file: 0, offset: 0, byteLength, format, rows, columns, name: "t" },
});

/** Enough of a model of 2B4T's shape for its memory to be told. */
function spec(activation: "relu2" | "silu"): ModelSpec {
  const linear = (rows: number, columns: number): TensorRef => tensor("i2_s", rows, columns);
  const layer = {
    ...{ attnNorm: tensor("f32", 1, 2560), ffnNorm: tensor("f32", 1, 2560) },
    ...{ q: linear(2560, 2560), k: linear(640, 2560), v: linear(640, 2560), attnOutput: linear(2560, 2560) },
    ...{ gate: linear(6912, 2560), up: linear(6912, 2560), down: linear(2560, 6912) },
  };
  return {
    ...{ files: [], architecture: "bitnet-b1.58", vocabularySize: 128256, contextLength: 4096, embeddingLength: 2560 },
    ...{ layerCount: 30, headCount: 20, headCountKv: 5, headDim: 128, ffnLength: 6912, rmsNormEpsilon: 1e-5 },
    ...{ activation, rope: { theta: 500000, dimensions: 128, positionScale: 1 }, embeddingScale: 1 },
    tokenEmbedding: tensor("f16", 128256, 2560, 128256 * 2560 * 2),
    outputNorm: tensor("f32", 1, 2560, 10240),
    layers: Array.from({ length: 30 }, () => layer),
  };
}

/** The threads are given, so nobody asks. */
const noCpu = (): never => {
  throw new Error("not asked");
};

/** A plane of two bits and one of 1.6, and two floats a row of each. */
const SKETCH = 128256 * (2560 / 4 + 2560 / 5 + 2 * 8);

test("a large head has a sketch", () => {
  expect(sketchBytes(spec("relu2"))).toBe(SKETCH);
  expect(sketchBytes(spec("silu"))).toBe(SKETCH);
});

test("a limit that leaves no room for it gives it up, and keeps the context", () => {
  const plan = (memoryLimit?: string): ReturnType<typeof planContext> =>
    planContext(
      spec("relu2"),
      resolveModelOptions(
        { threads: 2, contextLength: 512, maxConcurrent: 1, ...(memoryLimit && { memoryLimit }) },
        noCpu,
      ),
    );
  expect(plan()).toMatchObject({ shortcuts: true, contextLength: 512 });
  expect(plan("4GB")).toMatchObject({ shortcuts: true, contextLength: 512 });
  expect(plan("1300MB")).toMatchObject({ shortcuts: false, contextLength: 512 });
});

test("what a container's memory cannot hold is refused, with what to do; what it can is not", () => {
  const limit = jest.spyOn(process, "constrainedMemory");
  const plan = (memoryLimit?: string): ReturnType<typeof planContext> =>
    planContext(
      spec("relu2"),
      resolveModelOptions({ threads: 2, contextLength: 512, ...(memoryLimit && { memoryLimit }) }, noCpu),
    );
  try {
    limit.mockReturnValue(2 ** 29);
    expect(() => plan()).toThrow(OutOfMemoryError);
    expect(() => plan()).toThrow(/limited to .*memoryLimit/);
    // Weights in their file need no room of their own.
    expect(plan("450MB")).toMatchObject({ mapped: true });
    for (const enough of [2 ** 31, 0, 2 ** 64]) {
      limit.mockReturnValue(enough);
      expect(plan()).toMatchObject({ contextLength: 512 });
    }
  } finally {
    limit.mockRestore();
  }
});
