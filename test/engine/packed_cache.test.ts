/** The packed cache: the same bits as without it, and packing again wherever its file is not what it should be. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Model, type ModelOptions } from "../../lib";
import { loadAddon } from "../../lib/addon";
import { clearPacked, listPacked, makeRoom } from "../../lib/files/packed_folder";
import { temporaryFolder, TINY_VOCABULARY, writeTinyModel } from "../helpers/tiny_model";

const folder = temporaryFolder();
const path = join(folder, "tiny.gguf");
const base = { threads: 2, kernel: "scalar" } as const;
let expected: Buffer;

jest.setTimeout(60_000);

/** A folder of its own for a test's files. */
let counter = 0;
const freshFolder = (): string => join(folder, `cache-${counter++}`);

interface Run {
  logits: Buffer;
  cached: boolean;
}

async function run(options: ModelOptions, model = path): Promise<Run> {
  await using loaded = await Model.load(model, { ...base, ...options });
  const logits = await loaded.evaluate(Array.from({ length: 70 }, (_, i) => (i * 31) % TINY_VOCABULARY));
  return { logits: Buffer.from(logits.buffer), cached: loaded.info.fromPackedCache };
}

async function expectRun(cached: boolean, options: ModelOptions, model = path): Promise<void> {
  const result = await run(options, model);
  expect(result.cached).toBe(cached);
  expect(result.logits.equals(expected)).toBe(true);
}

function onlyFile(cache: string): string {
  const names = readdirSync(cache);
  expect(names).toHaveLength(1);
  return join(cache, names[0] ?? "");
}

beforeAll(async () => {
  writeTinyModel(path);
  expected = (await run({})).logits;
});

test("nothing is kept unless it is asked for", async () => {
  process.env.NODE_BITNET_CACHE = join(folder, "home");
  try {
    await run({});
    expect(await listPacked(join(folder, "home", "packed"))).toEqual([]);
  } finally {
    delete process.env.NODE_BITNET_CACHE;
  }
});

test("the second load takes the file of the first, with the same bits on every kernel", async () => {
  const kernels = loadAddon()
    .kernels()
    .filter(({ available, weights }) => available && weights === "ternary");
  const packedCache = freshFolder();
  for (const { name: kernel } of kernels) {
    await expectRun(false, { packedCache, kernel });
    await expectRun(true, { packedCache, kernel });
  }
  expect(readdirSync(packedCache)).toHaveLength(kernels.length);
});

test("a damaged byte, wherever it is, makes it pack again and write anew", async () => {
  const packedCache = freshFolder();
  await run({ packedCache });
  const file = onlyFile(packedCache);
  const whole = readFileSync(file);
  const starts = Array.from({ length: 12 }, (_, i) => Math.floor((i * (whole.length - 1)) / 11));
  for (const at of [3, 9, 17, 25, 33, 45, 4097, ...starts]) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    writeFileSync(file, damaged);
    const result = await run({ packedCache });
    // Padding between pieces may be anything.
    if (result.cached) expect(at).toBeGreaterThan(48);
    expect(result.logits.equals(expected)).toBe(true);
    await expectRun(true, { packedCache });
  }
});

test("any damaged bit of what the scans of the source found is noticed", async () => {
  const packedCache = freshFolder();
  await run({ packedCache });
  const file = onlyFile(packedCache);
  const whole = readFileSync(file);
  // The table begins at 4096 with the place and size of the words.
  const [offset, bytes] = [4096, 4104].map((at) => Number(whole.readBigUInt64LE(at))) as [number, number];
  expect(bytes).toBe((2 + 7 * 2) * 8);
  for (let at = offset; at < offset + bytes; at += 5) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 2;
    writeFileSync(file, damaged);
    await expectRun(false, { packedCache });
  }
});

test("a file cut short, or of something else, is packed again", async () => {
  const packedCache = freshFolder();
  await run({ packedCache });
  const file = onlyFile(packedCache);
  const { size } = statSync(file);
  for (const length of [0, 7, 4096, size >> 1, size - 1]) {
    truncateSync(file, length);
    await expectRun(false, { packedCache });
    await expectRun(true, { packedCache });
  }
  writeFileSync(file, "not packed weights");
  await expectRun(false, { packedCache });
});

test("a source that changed is packed again", async () => {
  const packedCache = freshFolder();
  const copy = join(folder, "copy.gguf");
  copyFileSync(path, copy);
  await expectRun(false, { packedCache }, copy);
  await expectRun(true, { packedCache }, copy);
  utimesSync(copy, new Date(), new Date(Date.now() + 5000));
  await expectRun(false, { packedCache }, copy);
  writeTinyModel(copy, { seed: 99 });
  const other = await run({ packedCache }, copy);
  expect(other.cached).toBe(false);
  expect(other.logits.equals(expected)).toBe(false);
});

test("loads at the same time do not meet", async () => {
  const packedCache = freshFolder();
  await Promise.all(Array.from({ length: 6 }, () => expectRun(false, { packedCache })));
  await expectRun(true, { packedCache });
  expect(readdirSync(packedCache)).toHaveLength(1);
});

test("a folder that cannot be written is told in a warning, and the model works", async () => {
  const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  try {
    const file = join(folder, "file");
    writeFileSync(file, "");
    await expectRun(false, { packedCache: join(file, "folder") });
    expect(warn.mock.calls.map(String).join("\n")).toMatch(/Packed weights are not kept/);
  } finally {
    warn.mockRestore();
  }
});

test("a full disk leaves nothing behind, and the model works", async () => {
  const disk = join(folder, "disk");
  mkdirSync(disk);
  // Only where we may mount.
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).status !== 0) return;
  try {
    await expectRun(false, { packedCache: disk });
    expect(readdirSync(disk)).toEqual([]);
    expect(await makeRoom(disk, join(disk, "x.packed"), 60_000, 2 ** 30)).toMatch(/the disk has only \d+ bytes left/);
  } finally {
    spawnSync("umount", [disk]);
  }
});

test("the least recently used make room; clearing removes all", async () => {
  const cache = freshFolder();
  mkdirSync(cache);
  for (const [i, name] of ["a", "b", "c"].entries()) {
    writeFileSync(join(cache, `${name}.packed`), Buffer.alloc(1000));
    utimesSync(join(cache, `${name}.packed`), 1000 + i, 1000 + i);
  }
  writeFileSync(join(cache, "d.packed.1-0.tmp"), "left by a process that was killed");
  utimesSync(join(cache, "d.packed.1-0.tmp"), 1000, 1000);
  expect(await makeRoom(cache, join(cache, "new.packed"), 1500, 3000)).toBeUndefined();
  expect(readdirSync(cache)).toEqual(["c.packed"]);
  expect(await makeRoom(cache, join(cache, "new.packed"), 4000, 3000)).toMatch(/limit/);
  expect(await clearPacked(cache)).toBe(1000);
  expect(readdirSync(cache)).toEqual([]);
});
