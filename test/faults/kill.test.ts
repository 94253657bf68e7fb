/** Processes that are killed at any moment: what bears a final name is whole, and the next try succeeds. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { HubServer } from "../helpers/hub_server";
import { uniform } from "../helpers/random";
import { writeTinyFolder } from "../helpers/tiny_folder";
import { writeTinyModel } from "../helpers/tiny_model";
import { countFaults, faultFolder, runChild } from "./process";

const folder = faultFolder();
const random = uniform(6);
const MODEL = Buffer.alloc(6_000_000, "some bytes that are no model ");
const BLOB = createHash("sha256").update(MODEL).digest("hex");
const hub = new HubServer({ "owner/one": { "model.gguf": MODEL } });
const source = join(folder, "source");
const model = join(folder, "model.gguf");
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 25);

beforeAll(async () => {
  await hub.start();
  writeTinyModel(model, { layers: 6, heads: 8, kvHeads: 2, headDim: 64, ffn: 2048 });
  mkdirSync(source);
  writeTinyFolder(source, { family: "bitnet", storage: "F32", layers: 4, ffn: 1024, width: 256 });
});
afterAll(() => hub.stop());

/** Milliseconds that the action takes when it is left alone. */
async function duration(run: () => Promise<{ code: number | null }>): Promise<number> {
  const started = performance.now();
  expect(await run()).toMatchObject({ code: 0 });
  return performance.now() - started;
}

test("convert, killed again and again", async () => {
  const out = join(folder, "out", "model.gguf");
  const whole = await duration(() => runChild("convert", [source, out]));
  const expected = readFileSync(out);
  let killed = 0;
  for (let i = 0; i < ROUNDS; i++) {
    rmSync(out, { force: true });
    const { signal } = await runChild("convert", [source, out], { killAfter: whole * random() });
    if (signal === "SIGKILL") killed++;
    if (existsSync(out)) expect(readFileSync(out).equals(expected)).toBe(true);
  }
  countFaults(killed);
  expect(await runChild("convert", [source, out])).toMatchObject({ code: 0 });
  expect(readFileSync(out).equals(expected)).toBe(true);
});

test("pull, killed again and again, goes on each time and comes to its end", async () => {
  const whole = await duration(() => runChild("pull", [hub.endpoint, join(folder, "first")]));
  const cache = join(folder, "cache");
  const blobs = join(cache, "models--owner--one", "blobs");
  let killed = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const { signal, code, errors } = await runChild("pull", [hub.endpoint, cache], { killAfter: whole * random() });
    if (signal === "SIGKILL") killed++;
    else expect({ code, errors }).toEqual({ code: 0, errors: "" });
    const names = existsSync(blobs) ? readdirSync(blobs) : [];
    if (names.includes(BLOB)) {
      expect(readFileSync(join(blobs, BLOB)).equals(MODEL)).toBe(true);
      if (i % 2) rmSync(cache, { recursive: true });
    }
  }
  countFaults(killed);
  const last = await runChild("pull", [hub.endpoint, cache]);
  expect(last).toMatchObject({ code: 0 });
  expect(readFileSync(last.output).equals(MODEL)).toBe(true);
});

test("the packed cache, killed again and again while it is written: its file is whole or not there", async () => {
  const whole = await duration(() => runChild("packed", [model, join(folder, "packed")]));
  const { output: canary } = await runChild("packed", [model, join(folder, "packed")]);
  const [name = ""] = readdirSync(join(folder, "packed"));
  const expected = readFileSync(join(folder, "packed", name));
  const cache = join(folder, "killed");
  let killed = 0;
  for (let i = 0; i < ROUNDS; i++) {
    rmSync(join(cache, name), { force: true });
    // Writing is the last that it does.
    const { signal } = await runChild("packed", [model, cache], { killAfter: whole * (0.6 + 0.4 * random()) });
    if (signal === "SIGKILL") killed++;
    if (existsSync(join(cache, name))) expect(readFileSync(join(cache, name)).equals(expected)).toBe(true);
  }
  countFaults(killed);
  expect(await runChild("packed", [model, cache])).toMatchObject({ code: 0, output: canary });
  expect(readFileSync(join(cache, name)).equals(expected)).toBe(true);
});

test("saving a conversation, killed again and again: the older one or the new one", async () => {
  const state = join(folder, "chat.state");
  const whole = await duration(() => runChild("save", [model, state]));
  const expected = readFileSync(state);
  let killed = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const before = i % 2 === 1;
    if (before) writeFileSync(state, expected);
    else rmSync(state, { force: true });
    const { signal } = await runChild("save", [model, state], { killAfter: whole * (0.6 + 0.4 * random()) });
    if (signal === "SIGKILL") killed++;
    if (before || existsSync(state)) expect(readFileSync(state).equals(expected)).toBe(true);
  }
  countFaults(killed);
});
