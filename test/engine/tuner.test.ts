import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LayerSpec, ModelSpec, NativeTask, TensorRef, TuneRequest, TuneResult } from "../../types/addon";
import { loadAddon } from "../../lib/addon";
import { resolveModelOptions } from "../../lib/engine/options";
import { chooseKernel, matrixShapes } from "../../lib/engine/tuner";
import { cacheFolder } from "../../lib/files/cache_folder";
import { temporaryFolder } from "../helpers/tiny_model";

const addon = loadAddon();
const root = temporaryFolder();
let folders = 0;
const newFolder = (): string => join(root, String(folders++));

const tensor = (rows: number, columns: number, format = "i2_s"): TensorRef => ({
  ...{ file: 0, offset: 0, byteLength: 0, name: "", format },
  ...{ rows, columns },
});

/** The shapes of a model; nothing of it is ever read. */
function specOf(layers: number, width: number, kv: number, ffn: number, format?: string): ModelSpec {
  const norm = tensor(1, width, "f32");
  const layer: LayerSpec = {
    ...{ attnNorm: norm, ffnNorm: norm },
    q: tensor(width, width, format),
    k: tensor(kv, width, format),
    v: tensor(kv, width, format),
    attnOutput: tensor(width, width, format),
    gate: tensor(ffn, width, format),
    up: tensor(ffn, width, format),
    down: tensor(width, ffn, format),
  };
  return { layers: Array.from({ length: layers }, () => layer) } as ModelSpec;
}

const TERNARY = addon.formats().find(({ ternary, dense }) => ternary && !dense)!.name;
const DENSE = addon.formats().find(({ ternary, dense }) => dense && !ternary)!.name;
const LARGE = specOf(30, 2560, 640, 6912, TERNARY);
const OPTIONS = {
  ...{ threads: 2, kernel: "auto", tune: true, memoryLimit: undefined, signal: undefined },
  onProgress: () => undefined,
};

/** The addon, but for a tuner that answers at once and notes what it was asked. */
function withTuner(answer: Partial<TuneResult> = {}) {
  const requests: TuneRequest[] = [];
  const tune = (request: TuneRequest): NativeTask<TuneResult> => {
    requests.push(request);
    const result = { kernel: "scalar-i2s", prefetch: 4096, measurements: [], ...answer };
    return { promise: Promise.resolve(result), cancel: () => undefined };
  };
  return { requests, addon: { ...addon, tune } };
}

describe("chooseKernel", () => {
  test("takes the user's kernel, and the default where tuning is off or the model is small", async () => {
    const { requests, addon: fake } = withTuner();
    const choose = (spec: ModelSpec, options: object) =>
      chooseKernel(fake, spec, { ...OPTIONS, ...options }, newFolder());
    expect(await choose(LARGE, { kernel: "avx2" })).toEqual({ kernel: "avx2" });
    expect(await choose(LARGE, { tune: false })).toEqual({ kernel: "auto" });
    expect(await choose(specOf(6, 256, 64, 640, TERNARY), {})).toEqual({ kernel: "auto" });
    expect(await choose(specOf(30, 2560, 640, 6912, DENSE), {})).toEqual({ kernel: "auto" });
    expect(requests).toEqual([]);
  });

  test("asks for the model's stacked shapes, within the memory limit", async () => {
    const { requests, addon: fake } = withTuner();
    await chooseKernel(fake, LARGE, { ...OPTIONS, memoryLimit: 2 ** 27 }, newFolder());
    expect(requests).toMatchObject([{ threads: 2, memoryBytes: 2 ** 27 }]);
    expect(requests[0]!.shapes).toEqual([
      { rows: 3840, columns: 2560, count: 30 },
      { rows: 2560, columns: 2560, count: 30 },
      { rows: 6912, columns: 2560, count: 60 },
      { rows: 2560, columns: 6912, count: 30 },
    ]);
    expect(requests[0]!.shapes).toEqual(matrixShapes(LARGE, addon));
  });

  test("measures once for each machine, model and number of threads", async () => {
    const folder = newFolder();
    const first = withTuner();
    const choice = { kernel: "scalar-i2s", prefetch: 4096 };
    expect(await chooseKernel(first.addon, LARGE, OPTIONS, folder)).toEqual(choice);
    const second = withTuner({ prefetch: 1024 });
    expect(await chooseKernel(second.addon, LARGE, OPTIONS, folder)).toEqual(choice);
    expect(second.requests).toHaveLength(0);
    await chooseKernel(second.addon, LARGE, { ...OPTIONS, threads: 1 }, folder);
    await chooseKernel({ ...second.addon, version: "0.0.0" }, LARGE, OPTIONS, folder);
    await chooseKernel({ ...second.addon, cpu: () => ({ ...addon.cpu(), model: "other" }) }, LARGE, OPTIONS, folder);
    await chooseKernel(second.addon, specOf(31, 2560, 640, 6912, TERNARY), OPTIONS, folder);
    expect(second.requests).toHaveLength(4);
    expect(readdirSync(join(folder, "kernels"))).toHaveLength(5);
  });

  test.each<[string, (text: string) => string]>([
    ["is cut short", (text) => text.slice(0, 40)],
    ["is empty", () => ""],
    ["is another thing", () => "null"],
    ["has another key", (text) => text.replace("usableCpus", "usableCPUs")],
    ["names no kernel", (text) => text.replace('"scalar-i2s"', '"abacus"')],
    ["has no sensible distance", (text) => text.replace("4096,", "-1,")],
  ])("measures again where the stored choice %s", async (_, damage) => {
    const folder = newFolder();
    await chooseKernel(withTuner().addon, LARGE, OPTIONS, folder);
    const file = join(folder, "kernels", readdirSync(join(folder, "kernels"))[0]!);
    const good = readFileSync(file, "utf8");
    expect(damage(good)).not.toBe(good);
    writeFileSync(file, damage(good));
    const again = withTuner();
    expect(await chooseKernel(again.addon, LARGE, OPTIONS, folder)).toEqual({ kernel: "scalar-i2s", prefetch: 4096 });
    expect(again.requests).toHaveLength(1);
    expect(readFileSync(file, "utf8")).toBe(good);
  });

  test("does without a folder that can be written", async () => {
    const folder = newFolder();
    mkdirSync(root, { recursive: true });
    writeFileSync(folder, "a file");
    expect(await chooseKernel(withTuner().addon, LARGE, OPTIONS, folder)).toMatchObject({ kernel: "scalar-i2s" });
  });

  test("hands an abort on, and stores nothing", async () => {
    const folder = newFolder();
    const controller = new AbortController();
    const chosen = chooseKernel(addon, LARGE, { ...OPTIONS, signal: controller.signal }, folder);
    setTimeout(() => controller.abort(), 20);
    await expect(chosen).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(() => readdirSync(folder)).toThrow("ENOENT");
  });
});

describe("the native tuner", () => {
  const shapes = [
    { rows: 80, columns: 256, count: 3 },
    { rows: 33, columns: 100, count: 2 },
  ];
  const names = addon.kernels().flatMap(({ name, available }) => (available ? [name] : []));

  test("chooses one of the candidates, and says what it measured", async () => {
    const shares: number[] = [];
    const request = { shapes, threads: 2, memoryBytes: 2 ** 20, milliseconds: 50 };
    const result = await addon.tune({ ...request, onProgress: (share) => shares.push(share) }).promise;
    expect(names).toContain(result.kernel);
    expect([1024, 2048, 4096, 8192]).toContain(result.prefetch);
    const chosen = result.measurements.find(({ kernel }) => kernel === result.kernel);
    expect(chosen?.decodeMicroseconds).toBeGreaterThan(0);
    expect(chosen?.prefillMicroseconds).toBeGreaterThan(0);
    const scores = result.measurements.flatMap(({ decodeMicroseconds: decode, prefillMicroseconds: prefill }) =>
      decode === undefined || prefill === undefined ? [] : [decode + prefill],
    );
    const score = chosen!.decodeMicroseconds! + chosen!.prefillMicroseconds!;
    expect(score).toBeLessThanOrEqual(Math.min(...scores) * 1.0301);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
  });

  test("looks at the named candidates only", async () => {
    const kernels = names.slice(0, 2);
    const request = { shapes, threads: 1, kernels, memoryBytes: 2 ** 20, milliseconds: 20 };
    const { measurements } = await addon.tune(request).promise;
    expect(measurements.map(({ kernel }) => kernel).sort()).toEqual([...kernels].sort());
  });

  test.each<[string, object, RegExp]>([
    ["no shapes", { shapes: [], threads: 1 }, /shapes must not be empty/],
    ["a shape without rows", { shapes: [{ rows: 0, columns: 1, count: 1 }], threads: 1 }, /shapes\[0\]\.rows/],
    ["too many columns", { shapes: [{ rows: 1, columns: 262145, count: 1 }], threads: 1 }, /shapes\[0\]\.columns/],
    ["no threads", { shapes }, /threads/],
    ["an unknown kernel", { shapes, threads: 1, kernels: ["abacus"] }, /Unknown kernel "abacus"/],
  ])("refuses %s", async (_, request, message) => {
    const run = async () => await addon.tune(request as TuneRequest).promise;
    await expect(run()).rejects.toThrow(message);
  });
});

describe("the tune option", () => {
  const resolve = (options: object) => resolveModelOptions(options, () => addon.cpu());
  const { BITNET_TUNE: before } = process.env;
  afterEach(() => {
    if (before === undefined) delete process.env.BITNET_TUNE;
    else process.env.BITNET_TUNE = before;
  });

  test("is true unless it or the environment says otherwise", () => {
    delete process.env.BITNET_TUNE;
    expect([resolve({}).tune, resolve({ tune: false }).tune]).toEqual([true, false]);
    process.env.BITNET_TUNE = "0";
    expect([resolve({}).tune, resolve({ tune: true }).tune]).toEqual([false, true]);
    expect(() => resolve({ tune: "no" })).toThrow(/"tune".*true or false/);
  });
});

describe("cacheFolder", () => {
  test("is where each system keeps a user's caches", () => {
    const home = join("/home", "me");
    const of = (platform: NodeJS.Platform, env: NodeJS.ProcessEnv = {}) => cacheFolder({ platform, env, home });
    expect(of("linux")).toBe(join(home, ".cache", "node-bitnet"));
    expect(of("linux", { XDG_CACHE_HOME: "" })).toBe(join(home, ".cache", "node-bitnet"));
    expect(of("linux", { XDG_CACHE_HOME: "/c" })).toBe(join("/c", "node-bitnet"));
    expect(of("darwin")).toBe(join(home, "Library", "Caches", "node-bitnet"));
    expect(of("win32", { LOCALAPPDATA: "L" })).toBe(join("L", "node-bitnet", "cache"));
    expect(of("linux", { NODE_BITNET_CACHE: "/mine", XDG_CACHE_HOME: "/c" })).toBe("/mine");
  });
});
