/** Disks that are full or fail: an error that says so, and never a wrong file under a final name. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { HubServer } from "../helpers/hub_server";
import { writeTinyFolder } from "../helpers/tiny_folder";
import { uniform } from "../helpers/random";
import { countFaults, faultFolder, ioFaults, REFUSED, runChild } from "./process";

const folder = faultFolder();
const random = uniform(5);
const MODEL = Buffer.from(Array.from({ length: 400_000 }, () => Math.floor(random() * 256)));
const BLOB = createHash("sha256").update(MODEL).digest("hex");
const hub = new HubServer({ "owner/one": { "model.gguf": MODEL } });
const source = join(folder, "source");
let library = "";
let converted: Buffer;

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

test("a full disk that is really one", async () => {
  const disk = join(folder, "disk");
  mkdirSync(disk);
  // Needs the right to mount; elsewhere the faults above stand in for it.
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).status !== 0) return;
  try {
    countFaults();
    const out = join(disk, "model.gguf");
    const { code, errors } = await runChild("convert", [source, out]);
    expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/no space left/i) as string });
    expect(readdirSync(disk)).toEqual([]);
  } finally {
    spawnSync("umount", [disk]);
  }
});
