import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import * as source from "../lib/index";

/** Asks the built package for its exports, in a process of its own as a user's program would be. */
function exportsOf(...args: string[]): string[] {
  const output = execFileSync(process.execPath, args, { cwd: join(__dirname, ".."), encoding: "utf8" });
  return (JSON.parse(output) as string[]).sort();
}

describe("the built package", () => {
  const expected = Object.keys(source).sort();

  test("exports the same names to require and to import", () => {
    expect(exportsOf("-p", "JSON.stringify(Object.keys(require('node-bitnet')))")).toEqual(expected);
    const program = "import * as api from 'node-bitnet'; console.log(JSON.stringify(Object.keys(api)))";
    expect(exportsOf("--input-type=module", "-e", program)).toEqual(expected);
  });

  test("gives both the same classes, so that instanceof works across them", () => {
    const program = `
      import { createRequire } from "node:module";
      import { BitnetError } from "node-bitnet";
      const required = createRequire(import.meta.url)("node-bitnet");
      console.log(JSON.stringify([String(required.BitnetError === BitnetError)]));`;
    expect(exportsOf("--input-type=module", "-e", program)).toEqual(["true"]);
  });
});

test("THIRD_PARTY_LICENSES.md holds the licences of what package-lock.json names, and none is unknown", () => {
  const script = join(__dirname, "..", "scripts", "make-licences.mjs");
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});
