/** Two builds in turn, told from programs that print what they are told to. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../lib";
import { compareBuilds } from "../../lib/benchmark";
import { temporaryFolder } from "../helpers/tiny_model";

const folder = temporaryFolder();
const log = join(folder, "log");

/** A build whose runs decode with the given speeds, one after another. */
function build(name: string, speeds: number[]): string {
  const at = join(folder, name);
  mkdirSync(join(at, "dist", "cli"), { recursive: true });
  const program = `
    const { appendFileSync, readFileSync } = require("node:fs");
    appendFileSync(${JSON.stringify(log)}, ${JSON.stringify(name)} + " " + process.argv.slice(2).join(" ") + "\\n");
    const before = readFileSync(${JSON.stringify(log)}, "utf8").split("\\n").filter((l) => l.startsWith("${name} ")).length - 1;
    const results = [{ test: "decode", threads: 2, tokensPerSecond: ${JSON.stringify(speeds)}[before] }];
    console.log(JSON.stringify({ model: "m", cpu: "c", peakMemoryMiB: 100 + before, results, bandwidth: [] }));`;
  writeFileSync(join(at, "dist", "cli", "main.js"), program);
  return at;
}

test("takes turns, and tells medians and the ratio of each round", async () => {
  appendFileSync(log, "");
  const [a, b] = [build("a", [10, 20, 40]), build("b", [20, 20, 60])];
  const lines = await compareBuilds(a, b, { arguments: ["--model", "x"], rounds: 3 });
  expect(lines).toEqual([
    { test: "decode", threads: 2, unit: "tokens/s", a: 20, b: 20, ratio: 1.5, spread: [1, 2] },
    { test: "peak memory", threads: 2, unit: "MiB", a: 101, b: 101, ratio: 1, spread: [1, 1] },
  ]);
  const runs = readFileSync(log, "utf8").trim().split("\n");
  expect(runs.map((run) => run[0]).join("")).toBe("abbaab");
  expect(runs[0]).toBe("a bench model --json --model x");
});

test("a folder without a build is named", async () => {
  const result = compareBuilds(folder, folder, { arguments: [], rounds: 1 });
  await expect(result).rejects.toBeInstanceOf(FileError);
  await expect(result).rejects.toThrow(/holds no build.*npm run build/);
});
