import { spawnSync } from "node:child_process";
import { join } from "node:path";

test("the process outlives workers that are ended while they load a model or generate a text", () => {
  // In a process of its own: what is looked for would end the test runner too.
  const program = join(__dirname, "install", "project", "workers.cjs");
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8" });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  expect(stdout).toMatch(/^OK [0-9a-f]{16}\n$/);
}, 120_000);
