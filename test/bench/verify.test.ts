/** `verify`: sound files pass, each kind of damage is found and named. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verifyModel, type Finding } from "../../lib/benchmark/verify";
import { BUNDLED_MODEL_PATH } from "../../lib/files/bundled";
import { readGguf } from "../../lib/files/gguf";
import { temporaryFolder, writeTinyModel, type TinyModelOptions } from "../helpers/tiny_model";

const folder = temporaryFolder();
let files = 0;

const failed = (findings: Finding[]): string[] => findings.filter(({ ok }) => !ok).map(({ check }) => check);

async function damaged(
  tensor: string,
  change: (bytes: Buffer) => void,
  options: TinyModelOptions = {},
): Promise<string> {
  const path = join(folder, `${files++}.gguf`);
  writeTinyModel(path, options);
  const bytes = readFileSync(path);
  const { offset, byteLength } = (await readGguf(path)).tensorsByName.get(tensor)!;
  change(bytes.subarray(offset, offset + byteLength));
  writeFileSync(path, bytes);
  return path;
}

test("the bundled model is sound", async () => {
  const checks: string[] = [];
  const sha256 = createHash("sha256").update(readFileSync(BUNDLED_MODEL_PATH)).digest("hex");
  const findings = await verifyModel(BUNDLED_MODEL_PATH, { sha256, onCheck: (check) => checks.push(check) });
  expect(failed(findings)).toEqual([]);
  expect(findings.map(({ check }) => check)).toEqual(checks);
  expect(checks).toEqual(["header", "hash", "dense values", "ternary weights", "generation"]);
});

test.each<[string, string, (bytes: Buffer) => void, string[], RegExp]>([
  [
    "a value that is no number",
    "token_embd.weight",
    (bytes) => bytes.writeUInt16LE(0x7e00, 20),
    ["dense values"],
    /token_embd/,
  ],
  [
    "a norm that is infinite",
    "output_norm.weight",
    (b) => b.writeFloatLE(Infinity, 0),
    ["dense values", "ternary weights"],
    /output_norm/,
  ],
  [
    "the code 3",
    "blk.1.ffn_down.weight",
    (bytes) => bytes.writeUInt8(0xff, 9),
    ["ternary weights"],
    /blk\.1\.ffn_down.*code 3/,
  ],
  [
    "a scale that is no number",
    "blk.0.attn_q.weight",
    (b) => b.writeFloatLE(NaN, b.length - 32),
    ["ternary weights"],
    /blk\.0\.attn_q.*scale/,
  ],
])("%s is found", async (_, tensor, change, checks, message) => {
  const findings = await verifyModel(await damaged(tensor, change));
  expect(failed(findings).filter((check) => check !== "generation")).toEqual(checks);
  expect(findings.find(({ ok }) => !ok)?.detail).toMatch(message);
});

test.each<[NonNullable<TinyModelOptions["embedding"]>, number]>([
  ["Q8_0", 34 * 7],
  ["Q6_K", 210 * 3 + 208],
  ["Q4_K", 144 * 5 + 2],
  ["Q1_0", 18 * 9],
  ["PQ2_0", 34 * 2],
  ["TQ1_0", 54 * 4 + 52],
  ["PTQ1_0", 28 * 4 + 26],
])("a scale in a %s embedding that is no number is found", async (embedding, at) => {
  const options: TinyModelOptions = { embedding, heads: 4, headDim: 64, layers: 1 };
  const infinite = (bytes: Buffer): unknown => bytes.writeUInt16LE(0x7c00, at);
  const findings = await verifyModel(await damaged("token_embd.weight", infinite, options));
  expect(findings.find(({ check }) => check === "dense values")).toMatchObject({
    ok: false,
    detail: expect.stringContaining("token_embd") as string,
  });
  const sound = await verifyModel(await damaged("token_embd.weight", () => undefined, options));
  expect(sound.find(({ check }) => check === "dense values")?.ok).toBe(true);
});

test("a wrong hash and a truncated file are found", async () => {
  const path = join(folder, "short.gguf");
  writeTinyModel(path);
  expect(failed(await verifyModel(path, { sha256: "0".repeat(64) }))).toContain("hash");
  writeFileSync(path, readFileSync(path).subarray(0, -100));
  expect(failed(await verifyModel(path))).toEqual(["header"]);
});

test("a text that repeats one token for ever is called wrong", async () => {
  // Without any scale the layers add nothing: the last token's own embedding decides, which is the token itself.
  const path = join(folder, "stuck.gguf");
  writeTinyModel(path);
  const bytes = readFileSync(path);
  for (const { name, offset, byteLength, format } of (await readGguf(path)).tensors) {
    if (format === "i2_s") bytes.writeFloatLE(1e-20, offset + byteLength - 32);
    if (name === "output_norm.weight") for (let at = 0; at < byteLength; at += 4) bytes.writeFloatLE(1, offset + at);
  }
  writeFileSync(path, bytes);
  expect(failed(await verifyModel(path))).toEqual(["generation"]);
});
