/** Disks that are full or fail: an error that says so, and never a wrong file under a final name. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { HubServer } from "../helpers/hub_server";
import { writeTinyModel } from "../helpers/tiny_model";
import { writeTinyFolder } from "../helpers/tiny_folder";
import { uniform } from "../helpers/random";
import { countFaults, faultFolder, ioFaults, REFUSED, runChild } from "./process";

const folder = faultFolder();
const random = uniform(5);
const MODEL = Buffer.from(Array.from({ length: 400_000 }, () => Math.floor(random() * 256)));
const BLOB = createHash("sha256").update(MODEL).digest("hex");
const hub = new HubServer({ "owner/one": { "model.gguf": MODEL } });
const source = join(folder, "source");
const model = join(folder, "model.gguf");
let library = "";
let converted: Buffer;
let canary = "";
let restored = "";

const NO_SPACE = "28";
const IO_ERROR = "5";

beforeAll(async () => {
  library = ioFaults(folder);
  await hub.start();
  mkdirSync(source);
  writeTinyFolder(source, { family: "bitnet", storage: "packed-divide" });
  const out = join(folder, "expected.gguf");
  expect(await runChild("convert", [source, out])).toMatchObject({ code: 0 });
  converted = readFileSync(out);
  writeTinyModel(model, { layers: 2, context: 256 });
  canary = (await runChild("packed", [model, join(folder, "no-fault")])).output;
  const state = join(folder, "expected.state");
  expect(await runChild("save", [model, state])).toMatchObject({ code: 0 });
  restored = (await runChild("restore", [model, state])).output;
  expect([canary, restored].every((output) => output !== "")).toBe(true);
});
afterAll(() => hub.stop());

const faults = (call: string, at: number, errno: string): Record<string, string> => ({
  LD_PRELOAD: library,
  BITNET_FAULT_CALL: call,
  BITNET_FAULT_AT: String(at),
  BITNET_FAULT_ERRNO: errno,
  // The failed disk stays so: what cleans up meets it too.
  BITNET_FAULT_ALWAYS: call === "rename" ? "" : "1",
});

const CASES: [string, string][] = [
  ["write", NO_SPACE],
  ["write", IO_ERROR],
  ["sync", IO_ERROR],
  ["rename", IO_ERROR],
];

test.each(CASES)("convert, %s fails with %s at every call", async (call, errno) => {
  for (let at = 1; at < 200; at++) {
    const out = join(folder, "out", "model.gguf");
    rmSync(join(folder, "out"), { recursive: true, force: true });
    const { code, errors } = await runChild("convert", [source, out], { environment: faults(call, at, errno) });
    if (code === 0) {
      expect(readFileSync(out).equals(converted)).toBe(true);
      expect(at).toBeGreaterThan(1);
      return;
    }
    countFaults();
    expect({ code, errors }).toEqual({
      code: REFUSED,
      errors: expect.stringMatching(/^ERR_FILE .*Cannot write/) as string,
    });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(join(folder, "out"))).toEqual([]);
  }
  throw new Error("It never came to pass without a fault");
});

test("convert over an older file that must stay when the disk is full", async () => {
  const out = join(folder, "kept", "model.gguf");
  mkdirSync(join(folder, "kept"));
  writeFileSync(out, "older");
  countFaults();
  expect(await runChild("convert", [source, out], { environment: faults("write", 1, NO_SPACE) })).toMatchObject({
    code: REFUSED,
  });
  expect(readFileSync(out, "utf8")).toBe("older");
});

test.each(CASES)("pull, %s fails with %s at every call, and the next try succeeds", async (call, errno) => {
  for (let at = 1; at < 200; at++) {
    const cache = join(folder, `cache-${call}-${errno}-${at}`);
    const { code, errors } = await runChild("pull", [hub.endpoint, cache], { environment: faults(call, at, errno) });
    const blob = join(cache, "models--owner--one", "blobs", BLOB);
    if (existsSync(blob)) expect(readFileSync(blob).equals(MODEL)).toBe(true);
    if (code === 0) return;
    countFaults();
    expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/^ERR_FILE /) as string });
    const again = await runChild("pull", [hub.endpoint, cache]);
    expect(again).toMatchObject({ code: 0 });
    expect(readFileSync(again.output).equals(MODEL)).toBe(true);
  }
  throw new Error("It never came to pass without a fault");
});

test.each(CASES)(
  "saving a conversation, %s fails with %s at every call: an error, and the older file stays",
  async (call, errno) => {
    const state = join(folder, `state-${call}-${errno}`, "kept.state");
    mkdirSync(dirname(state));
    for (let at = 1; at < 50; at++) {
      writeFileSync(state, "older");
      const { code, errors } = await runChild("save", [model, state], { environment: faults(call, at, errno) });
      if (code === 0) {
        expect(at).toBeGreaterThan(1);
        expect((await runChild("restore", [model, state])).output).toBe(restored);
        return;
      }
      countFaults();
      expect({ code, errors }).toEqual({
        code: REFUSED,
        errors: expect.stringMatching(/^ERR_FILE .*Cannot write/) as string,
      });
      expect(readFileSync(state, "utf8")).toBe("older");
      expect(readdirSync(dirname(state))).toEqual(["kept.state"]);
    }
    throw new Error("It never came to pass without a fault");
  },
);

test.each(CASES)(
  "the packed cache, %s fails with %s at every call: a warning, the same text, and no part of a file",
  async (call, errno) => {
    for (let at = 1; at < 100; at++) {
      const cache = join(folder, `packed-${call}-${errno}-${at}`);
      const { code, output, errors } = await runChild("packed", [model, cache], {
        environment: faults(call, at, errno),
      });
      expect({ code, output }).toEqual({ code: 0, output: canary });
      const names = existsSync(cache) ? readdirSync(cache) : [];
      if (!errors.includes("Packed weights are not kept")) {
        expect(names).toHaveLength(1);
        expect(at).toBeGreaterThan(1);
        return;
      }
      countFaults();
      expect(names).toEqual([]);
    }
    throw new Error("It never came to pass without a fault");
  },
);

/** Runs with a small file system of its own; not where that cannot be mounted: there the faults above stand in for it. */
async function onSmallDisk(name: string, kilobytes: number, run: (disk: string) => Promise<void>): Promise<void> {
  const disk = join(folder, `disk-${name}`);
  mkdirSync(disk);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kilobytes}k`, "tmpfs", disk]).status !== 0) {
    process.stdout.write(`NOT TRIED: a full disk under ${name}; this process may not mount one\n`);
    return;
  }
  try {
    countFaults();
    await run(disk);
  } finally {
    spawnSync("umount", [disk]);
  }
}

describe("a full disk that is really one", () => {
  test("convert", () =>
    onSmallDisk("convert", 64, async (disk) => {
      const { code, errors } = await runChild("convert", [source, join(disk, "model.gguf")]);
      expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/no space left/i) as string });
      expect(readdirSync(disk)).toEqual([]);
    }));

  test("pull", () =>
    onSmallDisk("pull", 128, async (disk) => {
      const { code, errors } = await runChild("pull", [hub.endpoint, disk]);
      expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/^ERR_FILE /) as string });
      expect(existsSync(join(disk, "models--owner--one", "blobs", BLOB))).toBe(false);
    }));

  test("saving a conversation", () =>
    onSmallDisk("save", 8, async (disk) => {
      const { code, errors } = await runChild("save", [model, join(disk, "one.state")]);
      expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/no space left/i) as string });
      expect(readdirSync(disk)).toEqual([]);
    }));

  test("the packed cache", () =>
    onSmallDisk("packed", 64, async (disk) => {
      expect(await runChild("packed", [model, disk])).toMatchObject({ code: 0, output: canary });
      expect(readdirSync(disk)).toEqual([]);
    }));
});
