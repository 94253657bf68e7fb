import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

// The built program, as users run it; `npm test` builds it first.
const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");
const folder = temporaryFolder();
const QUICK = ["--milliseconds", "1", "--memory", "1", "--batch", "1,3", "--threads", "1", "--kernel", "scalar"];

function bench(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, "bench", "kernels", ...args], {
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

test("--json has cpu, limits, energy and results of the asked shapes", () => {
  const { code, out } = bench(...QUICK, "--shape", "20x100", "--shape", "16x64", "--json");
  expect(code).toBe(0);
  const report = JSON.parse(out) as { results: { m: number; k: number; isa: string; exact: boolean }[] };
  expect(Object.keys(report)).toEqual(["cpu", "limits", "energy", "results"]);
  expect(new Set(report.results.map(({ m, k }) => `${m}x${k}`))).toEqual(new Set(["20x100", "16x64"]));
  expect(report.results.every(({ isa, exact }) => isa === "scalar" && exact)).toBe(true);
});

test("takes the shapes of a model, prints a table or values, and writes a page", () => {
  const model = join(folder, "tiny.gguf");
  writeTinyModel(model);
  const page = join(folder, "report.html");
  const text = bench(...QUICK, "--model", model, "--source", "memory", "--html", page);
  expect([text.code, text.err]).toEqual([0, ""]);
  // Width 128, 4 query and 2 key heads of 32, q, k and v stacked.
  for (const shape of ["256x128", "128x128", "128x256"]) expect(text.out).toContain(shape);
  expect(text.out).toMatch(/energy per token/);
  expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>[^]*<\/html>\n$/);
  const { out } = bench(...QUICK, "--shape", "16x64", "--csv");
  expect(out).toMatch(/^kernel,family,isa,weights,m,k,batch,threads,source,/);
});

test.each([
  [["--shape", "16"], /rows x columns/],
  [["--shape", "0x16"], /rows x columns/],
  [["--shape", "16x262145"], /262144/],
  [["--kernel", "abacus"], /"abacus" is no kernel/],
  [["--json", "--csv"], /not both/],
  [["--shape", "16x16", "--model", "x.gguf"], /not both/],
  [["--source", "disk"], /cache, memory, both/],
])("%j is wrong usage", (args, message) => {
  const { code, err } = bench(...args);
  expect([code, message.test(err)]).toEqual([2, true]);
});

test("says which report cannot be written", () => {
  const file = join(folder, "absent", "report.html");
  const { code, err } = bench(...QUICK, "--shape", "16x16", "--html", file);
  expect([code, err.includes(file), existsSync(file)]).toEqual([1, true, false]);
});
