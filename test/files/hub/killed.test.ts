/** What a download leaves behind when its process is killed, and when its disk is full. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
  closeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { convertToGguf } from "../../../lib";
import { FileError } from "../../../lib/errors";
import { pull, type PullOptions } from "../../../lib/files/hub";
import { writeHfFolder } from "../../helpers/hf_folder";
import { HubServer } from "../../helpers/hub_server";
import { uniform } from "../../helpers/random";
import { temporaryFolder } from "../../helpers/tiny_model";

jest.setTimeout(120_000);

const folder = temporaryFolder();
const random = uniform(5);
const PART = 4096;
const PARTS = 12;
const MODEL = Buffer.from(Array.from({ length: PARTS * PART - 17 }, () => Math.floor(random() * 256)));
const server = new HubServer({ "owner/one": { "model.gguf": MODEL } });
const HUB = resolve(__dirname, "../../../lib/files/hub");

beforeAll(() => server.start());
afterAll(() => server.stop());

function optionsFor(name: string): PullOptions & { cache: string } {
  const cache = join(folder, name);
  return { endpoint: server.endpoint, cache, retryDelay: 1, stallTimeout: 60_000, partBytes: PART, offline: false };
}

const blobsOf = (cache: string): string => join(cache, "models--owner--one", "blobs");
const partsIn = (cache: string): string[] => readdirSync(blobsOf(cache)).sort();

/** Pulls in a process of its own, which is killed without warning once five parts are on the disk. */
async function pullAndKill(options: PullOptions & { cache: string }): Promise<void> {
  // Five parts come; every other request is left hanging.
  server.faults.push("none", "none", "none", "none", "none", ...Array<"stall">(8).fill("stall"));
  const program = `require(${JSON.stringify(HUB)}).pull("hf:owner/one", ${JSON.stringify(options)})`;
  const child = spawn(process.execPath, ["-r", "@swc-node/register", "-e", program], { stdio: "inherit" });
  const exit = once(child, "exit");
  const done = (): number => {
    const state = existsSync(blobsOf(options.cache)) && partsIn(options.cache).find((name) => name.endsWith("state"));
    if (!state) return 0;
    return (JSON.parse(readFileSync(join(blobsOf(options.cache), state), "utf8")) as { done: number[] }).done.length;
  };
  for (let tries = 0; done() < 5; tries++) {
    if (tries > 1000) throw new Error("the download does not get on");
    await new Promise((wake) => setTimeout(wake, 50));
  }
  child.kill("SIGKILL");
  expect((await exit)[1]).toBe("SIGKILL");
  server.faults.length = 0;
  server.requests.length = 0;
}

test("a killed download goes on where it was, for the parts that are missing only", async () => {
  const options = optionsFor("killed");
  await pullAndKill(options);
  // Nothing stands under a final name, and the dead process's lock is still there.
  // (The kill may come while the state is being replaced.)
  const left = partsIn(options.cache).filter((name) => !name.endsWith(".bitnet-state.tmp"));
  expect(left.map((name) => name.replace(/^[0-9a-f]+/, ""))).toEqual([".bitnet-lock", ".bitnet-part", ".bitnet-state"]);
  expect(existsSync(join(options.cache, "models--owner--one", "snapshots"))).toBe(false);
  const model = await pull("hf:owner/one", options);
  expect(readFileSync(model.path).equals(MODEL)).toBe(true);
  const ranges = server.requests.filter(({ host }) => host === "cdn").map(({ range }) => range);
  expect(ranges).toHaveLength(PARTS - 5);
  expect(partsIn(options.cache)).toHaveLength(1);
});

test("a part that was damaged on the disk meanwhile is caught, and comes anew", async () => {
  const options = optionsFor("damaged");
  await pullAndKill(options);
  const part = partsIn(options.cache).find((name) => name.endsWith("part"))!;
  const handle = openSync(join(blobsOf(options.cache), part), "r+");
  writeSync(handle, Buffer.from([MODEL[100]! ^ 1]), 0, 1, 100);
  closeSync(handle);
  const error: unknown = await pull("hf:owner/one", options).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FileError);
  expect((error as Error).message).toMatch(/model\.gguf came damaged/);
  expect(partsIn(options.cache)).toEqual([]);
  expect(readFileSync((await pull("hf:owner/one", options)).path).equals(MODEL)).toBe(true);
});

/** A file system of so many bytes; undefined where this user or system cannot make one. */
function smallDisk(name: string, bytes: number): string | undefined {
  const path = join(folder, name);
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path], { stdio: "ignore" });
    return path;
  } catch {
    return undefined;
  }
}

describe("a full disk", () => {
  const disks: string[] = [];
  afterAll(() => {
    for (const disk of disks) execFileSync("umount", [disk]);
  });

  const disk = (name: string, bytes: number): string => {
    const path = smallDisk(name, bytes);
    if (path === undefined) {
      // Rather a warning than a test that passes without having run.
      console.warn("no file system could be mounted here: a full disk was not tested");
      return "";
    }
    disks.push(path);
    return path;
  };

  test("in the middle of a conversion leaves nothing", async () => {
    const path = disk("convert", 64 << 10);
    if (!path) return;
    const input = join(folder, "model");
    writeHfFolder(input, "packed-multiply");
    const error: unknown = await convertToGguf(input, join(path, "model.gguf"), { embeddingType: "f32" }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(/Cannot write ".*model\.gguf".*ENOSPC.*free space/);
    expect(readdirSync(path)).toEqual([]);
  });

  test("is told before a download", async () => {
    const path = disk("ahead", 1 << 20);
    if (!path) return;
    const error: unknown = await pull("hf:owner/one", { ...optionsFor("x"), cache: path }).catch((e: unknown) => e);
    expect((error as Error).message).toMatch(/The download takes 1 MiB, but ".*" has 1 MiB free/);
    expect(readdirSync(path)).toEqual([]);
  });

  test("in the middle of a download leaves nothing under a final name, and the download goes on later", async () => {
    const path = disk("download", 100 << 20);
    if (!path) return;
    const options = { ...optionsFor("x"), cache: path };
    // Somebody else fills the disk while the download runs.
    const filler = join(path, "filler");
    const error: unknown = await pull("hf:owner/one", {
      ...options,
      onProgress: ({ received }) => {
        if (received < PART || existsSync(filler)) return;
        const handle = openSync(filler, "w");
        try {
          for (;;) writeSync(handle, Buffer.alloc(4096));
        } catch {
          closeSync(handle);
        }
      },
    }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(/Cannot store model\.gguf.*ENOSPC.*free space/);
    expect(partsIn(path).every((name) => /bitnet-(part|state)/.test(name))).toBe(true);
    expect(existsSync(join(path, "models--owner--one", "snapshots"))).toBe(false);
    rmSync(filler);
    const model = await pull("hf:owner/one", options);
    expect(statSync(model.path).size).toBe(MODEL.length);
    expect(readFileSync(model.path).equals(MODEL)).toBe(true);
  });
});
