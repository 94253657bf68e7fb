import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadAddon } from "../../lib/addon";
import { benchKernels, kernelsCsv, kernelsHtml, type KernelBenchReport } from "../../lib/benchmark";
import { barChart, shortNumber } from "../../lib/benchmark/charts";
import { cacheSizes } from "../../lib/benchmark/caches";
import { EnergyMeter } from "../../lib/benchmark/energy";
import { fractionOfLimit } from "../../lib/benchmark/kernels";
import { temporaryFolder } from "../helpers/tiny_model";

const addon = loadAddon();
const root = temporaryFolder();
const SMALL = { milliseconds: 1, memoryBytes: 2 ** 18 };
const BOTH = ["cache", "memory"] as const;

const FIELDS = [
  ...[
    "kernel",
    "family",
    "isa",
    "weights",
    "m",
    "k",
    "batch",
    "threads",
    "source",
    "microseconds",
    "gigamacsPerSecond",
  ],
  ...["gigabytesPerSecond", "fractionOfLimit", "packedBytes", "exact"],
];

describe("benchKernels", () => {
  let report: KernelBenchReport;
  const shapes = [
    { rows: 50, columns: 300, count: 1 },
    { rows: 16, columns: 64, count: 1 },
  ];
  beforeAll(async () => {
    const options = { ...SMALL, shapes, kernels: [], batches: [1, 9], threads: [1, 2], sources: BOTH };
    report = await benchKernels(addon, options, join(root, "no powercap"));
  });

  test("measures every kernel of this CPU, each exact", () => {
    const names = addon.kernels().flatMap(({ name, available }) => (available ? [name] : []));
    expect([...new Set(report.results.map(({ kernel }) => kernel))]).toEqual(names);
    expect(report.results).toHaveLength(names.length * shapes.length * 2 * 2 * 2);
    expect(report.results.filter(({ exact }) => !exact)).toEqual([]);
    expect(report.differences).toEqual([]);
  });

  test("has the fields of the stable form, consistent with each other", () => {
    for (const line of report.results) {
      expect(Object.keys(line)).toEqual(FIELDS);
      const { m, k, batch, microseconds, packedBytes } = line;
      expect(microseconds).toBeGreaterThan(0);
      expect(packedBytes * 8).toBeGreaterThanOrEqual(Math.log2(3) * m * k);
      expect(line.gigamacsPerSecond).toBeCloseTo((m * k * batch) / microseconds / 1000, 9);
      expect(line.gigabytesPerSecond).toBeCloseTo(packedBytes / microseconds / 1000, 9);
    }
    expect(report.limits.bandwidth.map(({ threads }) => threads)).toEqual([1, 2]);
    expect(report.limits.bandwidth.every(({ gigabytesPerSecond }) => gigabytesPerSecond > 0)).toBe(true);
    const simd = new Set(report.results.map(({ isa }) => isa).filter((isa) => isa !== "scalar"));
    if (simd.size > 0) expect(report.limits.dotProduct.length).toBeGreaterThan(0);
    expect(report.energy).toBe("not available");
  });

  test("as CSV has a line each", () => {
    const lines = kernelsCsv(report.results).split("\n");
    expect(lines[0]).toBe(FIELDS.join(","));
    expect(lines).toHaveLength(report.results.length + 1);
    expect(new Set(lines.map((line) => line.split(",").length))).toEqual(new Set([FIELDS.length]));
  });

  test("as a page needs nothing from elsewhere, and escapes what it shows", () => {
    const page = kernelsHtml({ ...report, cpu: { ...report.cpu, model: '<b>"x" & y' } });
    expect(page).toContain("&lt;b&gt;&quot;x&quot; &amp; y");
    expect(page).not.toMatch(/https?:|<script|<link|@import|url\(|NaN|Infinity|undefined/);
    expect(page.match(/<tr>/g)).toHaveLength(report.results.length + 1);
    for (const tag of ["svg", "figure", "g", "table", "div"]) {
      const count = (pattern: string) => page.match(new RegExp(pattern, "g"))?.length;
      expect([tag, count(`<${tag}[ >]`)]).toEqual([tag, count(`</${tag}>`)]);
    }
    const wrong = kernelsHtml({ ...report, results: report.results.map((line) => ({ ...line, exact: false })) });
    expect(wrong).toContain("differ from the scalar reference");
  });

  test("takes kernels by name, family and instruction set, and refuses what is none", async () => {
    const options = { ...SMALL, shapes: shapes.slice(1), batches: [1], threads: [1], sources: ["cache"] as const };
    const { results } = await benchKernels(addon, { ...options, kernels: ["scalar-t5", "i2s"] });
    const isExpected = (name: string, family: string) => name === "scalar-t5" || family === "i2s";
    const names = addon.kernels().filter(({ name, family, available }) => available && isExpected(name, family));
    expect(results.map(({ kernel }) => kernel)).toEqual(names.map(({ name }) => name));
    await expect(benchKernels(addon, { ...options, kernels: ["abacus"] })).rejects.toThrow(/"abacus".*scalar-i2s/);
  });

  test("is aborted", async () => {
    const controller = new AbortController();
    const options = { shapes, kernels: ["scalar"], batches: [512], threads: [1], sources: BOTH, milliseconds: 60000 };
    const running = benchKernels(addon, { ...options, memoryBytes: 2 ** 20, signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    await expect(running).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });

  test("reports a kernel whose sums are wrong", async () => {
    const lying = {
      ...addon,
      benchKernel: (request: Parameters<typeof addon.benchKernel>[0]) => ({
        cancel: () => undefined,
        promise: addon
          .benchKernel(request)
          .promise.then((result) => ({ ...result, exact: false, difference: "row 3" })),
      }),
    };
    const options = { ...SMALL, shapes: shapes.slice(1), batches: [1], threads: [1], sources: ["cache"] as const };
    const { results, differences } = await benchKernels(lying, { ...options, kernels: ["scalar-i2s"] });
    expect([results.map(({ exact }) => exact), differences]).toEqual([[false], ["row 3"]]);
  });
});

test("fractionOfLimit takes the tighter of the limits", () => {
  const limits = {
    bandwidth: [{ threads: 1, gigabytesPerSecond: 10 }],
    dotProduct: [
      { isa: "a", threads: 1, gigamacsPerSecond: 100 },
      { isa: "b", threads: 1, gigamacsPerSecond: 50 },
    ],
  };
  const line = {
    ...{
      kernel: "",
      family: "",
      isa: "a",
      weights: "ternary",
      m: 1000,
      k: 1000,
      threads: 1,
      packedBytes: 250_000,
      exact: true,
    },
    ...{ gigamacsPerSecond: 0, gigabytesPerSecond: 0, fractionOfLimit: 0, microseconds: 50 },
  };
  // One token: reading takes 25 us, multiplying 10 us. Ten tokens: multiplying takes 100 us.
  expect(fractionOfLimit({ ...line, batch: 1, source: "memory" }, limits)).toBeCloseTo(0.5);
  expect(fractionOfLimit({ ...line, batch: 1, source: "cache" }, limits)).toBeCloseTo(0.2);
  expect(fractionOfLimit({ ...line, batch: 10, source: "memory", microseconds: 125 }, limits)).toBeCloseTo(0.8);
});

test.each<[string, object, RegExp]>([
  ["no rows", { rows: 0 }, /rows/],
  ["an unknown kernel", { kernel: "abacus" }, /Unknown kernel/],
  ["an unknown source", { cases: [{ batch: 1, threads: 1, source: "disk" }] }, /cases\[0\]\.source/],
  ["too large a batch", { cases: [{ batch: 4097, threads: 1, source: "cache" }] }, /cases\[0\]\.batch/],
])("benchKernel refuses %s", async (_, change, message) => {
  const run = async () =>
    await addon.benchKernel({ kernel: "scalar-i2s", rows: 16, columns: 16, cases: [], ...change }).promise;
  await expect(run()).rejects.toThrow(message);
});

describe("EnergyMeter", () => {
  function zone(folder: string, name: string, file: string, microjoules: number): string {
    const path = join(root, folder, file);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "name"), `${name}\n`);
    writeFileSync(join(path, "max_energy_range_uj"), "1000000\n");
    writeFileSync(join(path, "energy_uj"), `${microjoules}\n`);
    return join(path, "energy_uj");
  }

  test("adds packages and memory, over the counters' wrap, and nothing twice", async () => {
    const first = zone("rapl", "package-0", "intel-rapl:0", 100_000);
    const core = zone("rapl", "core", "intel-rapl:0:0", 5);
    const memory = zone("rapl", "dram", "intel-rapl:0:1", 0);
    const second = zone("rapl", "package-1", "intel-rapl:1", 900_000);
    const psys = zone("rapl", "psys", "intel-rapl:2", 7);
    zone("rapl", "package-0", "intel-rapl-mmio:0", 7);
    const meter = await EnergyMeter.open(join(root, "rapl"));
    const { joules, result, seconds } = await meter!.measure(() => {
      writeFileSync(first, "350000");
      writeFileSync(core, "200000");
      writeFileSync(memory, "50000");
      writeFileSync(second, "100000");
      writeFileSync(psys, "900000");
      return Promise.resolve("done");
    });
    expect([joules, result]).toEqual([0.5, "done"]);
    expect(seconds).toBeGreaterThan(0);
  });

  test("is none where there are no counters or one cannot be read", async () => {
    expect(await EnergyMeter.open(join(root, "absent"))).toBeUndefined();
    zone("odd", "package-0", "intel-rapl:0", 1);
    zone("odd", "package-1", "intel-rapl:1", NaN);
    expect(await EnergyMeter.open(join(root, "odd"))).toBeUndefined();
  });
});

test("cacheSizes reads what Linux tells, and guesses elsewhere", () => {
  const write = (index: number, values: Record<string, string>): void => {
    const folder = join(root, "cache", `index${index}`);
    mkdirSync(folder, { recursive: true });
    for (const [name, value] of Object.entries(values)) writeFileSync(join(folder, name), `${value}\n`);
  };
  write(0, { size: "32K", type: "Data", level: "1" });
  write(1, { size: "2048K", type: "Unified", level: "2" });
  write(2, { size: "96M", type: "Unified", level: "3" });
  expect(cacheSizes(join(root, "cache"))).toEqual({ level2: 2 ** 21, level3: 96 * 2 ** 20 });
  expect(cacheSizes(join(root, "none"))).toEqual({ level2: 2 ** 19, level3: 2 ** 25 });
});

describe("charts", () => {
  test("numbers are short", () => {
    expect([0, 0.01234, 1.5, 15.55, 999.6, 123456, Infinity].map(shortNumber)).toEqual([
      ...["0", "0.0123", "1.50", "15.6", "1000", "123456", "-"],
    ]);
  });

  test("bars are as long as their values", () => {
    const bar = (value: number) => ({ label: "", value, className: "c0", title: "" });
    const widths = [
      ...barChart([bar(2), bar(1)], "x", [{ value: 4, label: "" }]).matchAll(/<rect[^>]* width="([\d.]+)"/g),
    ];
    const [long, short] = widths.map(([, width]) => Number(width));
    expect(long! / short!).toBeCloseTo(2, 5);
  });
});
