/** Files that change while a model uses them: the process survives, and no wrong text is given. */
import { copyFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeTinyModel } from "../helpers/tiny_model";
import { countFaults, faultFolder, runChild } from "./process";

const folder = faultFolder();
const sound = join(folder, "sound.gguf");
let size = 0;

beforeAll(() => {
  writeTinyModel(sound, { layers: 6, heads: 8, kvHeads: 2, headDim: 64, ffn: 2048, embedding: "F32" });
  size = statSync(sound).size;
});

function fresh(name: string): string {
  const path = join(folder, name);
  copyFileSync(sound, path);
  return path;
}

test.each([0, 4096, 300_000])(
  "cut to %i bytes while in use: an error that says so, and the next load works",
  async (bytes) => {
    countFaults();
    const { code, signal, output, errors } = await runChild("truncated", [fresh(`cut-${bytes}.gguf`), String(bytes)]);
    expect({ code, signal, errors }).toEqual({ code: 0, signal: null, errors: "" });
    const { failure, same } = JSON.parse(output) as { failure: string; same: boolean };
    expect(failure).toMatch(/^ERR_FILE .*could not be read: the file was cut short/);
    expect(same).toBe(true);
  },
);

test("cut at any place while it is loaded: an error of a file or its format, or a model that was read in time", async () => {
  for (let i = 0; i < 12; i++) {
    countFaults();
    const { code, signal, output } = await runChild("truncatedLoading", [
      fresh("loading.gguf"),
      String(Math.floor((size * i) / 12)),
    ]);
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(output).toMatch(/^(ERR_FILE|ERR_MODEL_FORMAT|none)$/);
  }
});

test("replaced by another file while in use: the texts stay those of the first", async () => {
  const path = fresh("replaced.gguf");
  const running = runChild("blocked", [path]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  writeFileSync(`${path}.new`, "other");
  renameSync(`${path}.new`, path);
  countFaults();
  const { code, output } = await running;
  // Replaced before it was opened: then it is refused.
  if (code === 0) expect(output).toBe("same");
  else expect(code).toBe(3);
});

test("overwritten in place while in use: the process survives, and what is loaded later is sound", async () => {
  const path = fresh("overwritten.gguf");
  const expected = (await runChild("canary", [path])).output;
  countFaults(3);
  const { code, signal, output, errors } = await runChild("overwritten", [path]);
  expect({ code, signal, errors }).toEqual({ code: 0, signal: null, errors: "" });
  const { outcome, canary } = JSON.parse(output) as { outcome: string; canary: string };
  expect(outcome).toMatch(/^(a text|ERR_[A-Z_]+)$/);
  expect(canary).toBe(expected);
});
