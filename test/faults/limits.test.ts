/** Limits of the system: memory, files, threads. A typed error each time, and no process that dies of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HubServer } from "../helpers/hub_server";
import { writeTinyModel } from "../helpers/tiny_model";
import { memoryGroup } from "./cgroup";
import { countFaults, faultFolder, ioFaults, REFUSED, runChild } from "./process";

const folder = faultFolder();
const model = join(folder, "model.gguf");
let expected = "";

beforeAll(async () => {
  writeTinyModel(model, { layers: 6, heads: 8, kvHeads: 2, headDim: 64, ffn: 2048, embedding: "F32" });
  const { output, code } = await runChild("canary", [model]);
  expect(code).toBe(0);
  expected = output;
});

test("address space, from too little for the model to enough", async () => {
  // Node itself takes most of it; the least with which it starts is found first.
  const node = ["--max-old-space-size=200", "--max-semi-space-size=2"];
  const atLimit = async (megabytes: number, action: string): Promise<Awaited<ReturnType<typeof runChild>>> =>
    runChild(action, [model], { limit: `-v ${megabytes * 1024}`, node });
  let starts = 1024;
  for (let step = 512; step >= 16; step /= 2) {
    const { code } = await atLimit(starts, "nothing");
    starts += code === 0 ? -step : step;
  }
  let refused = 0;
  for (let more = 64; more <= 640; more += 48) {
    const { code, signal, output, errors } = await atLimit(starts + more, "canary");
    countFaults();
    if (code === 0) expect(output).toBe(expected);
    // V8 ends the process where it gets none of the memory that it asks for itself; that is Node's own.
    else if (/V8|FATAL ERROR|node::|ERR_WORKER|ERR_DLOPEN|WebAssembly/.test(errors)) continue;
    // libuv does so without a word where none of its threads starts, at the first look at a file.
    else if (signal === "SIGABRT" && errors === "") continue;
    else {
      expect({ code, signal, errors }).toEqual({
        ...{ code: REFUSED, signal: null },
        errors: expect.stringMatching(/^ERR_(OUT_OF_MEMORY|FILE|ADDON_LOAD|BITNET)/) as string,
      });
      refused++;
    }
  }
  process.stdout.write(`address space: Node starts with ${starts} MB; ${refused} loads refused\n`);
});

test("a control group's memory, from too little for the weights to enough", async () => {
  const large = join(folder, "large.gguf");
  // 15 MiB of packed weights.
  writeTinyModel(large, { layers: 2, heads: 8, kvHeads: 8, headDim: 128, ffn: 8192 });
  let refused = 0;
  for (const megabytes of [64, 70, 300]) {
    const group = memoryGroup("node-bitnet-faults", megabytes * 2 ** 20);
    // Needs the right to make groups; the check itself is tested without (test/engine/memory.test.ts).
    if (!group) {
      process.stdout.write("NOT TRIED: a control group's limit; this process may not make one\n");
      return;
    }
    try {
      const { code, signal, errors } = await runChild("canary", [large], { group: group.processes });
      countFaults();
      if (code !== 0) {
        expect({ megabytes, code, signal, errors }).toEqual({
          ...{ megabytes, code: REFUSED, signal: null },
          errors: expect.stringMatching(/^ERR_OUT_OF_MEMORY .*control group/) as string,
        });
        refused++;
      }
    } finally {
      group.remove();
    }
  }
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThan(3);
});

test("files, from too few for the model to enough", async () => {
  // With fewer than these, Node itself does not come to run the package: it ends by a signal of its own.
  let files = 10;
  while ((await runChild("nothing", [], { limit: `-n ${files}` })).code !== 0) files++;
  let passed = 0;
  for (; passed < 2; files++) {
    const { code, signal, output, errors } = await runChild("canary", [model], { limit: `-n ${files}` });
    countFaults();
    if (code === 0) {
      expect(output).toBe(expected);
      passed++;
    } else {
      const typed: unknown = expect.stringMatching(/^ERR_(FILE|ADDON_LOAD|BITNET) /);
      expect({ files, code, signal, errors }).toEqual({ files, code: REFUSED, signal: null, errors: typed });
    }
    expect(files).toBeLessThan(200);
  }
});

test("an expression of a tokenizer.json that takes for ever", async () => {
  countFaults();
  const { code, errors } = await runChild("tokenizer", ["(a|a)+$", `${"a".repeat(60)}c`]);
  expect({ code, errors }).toEqual({ code: REFUSED, errors: expect.stringMatching(/take too long/) as string });
});

describe("a wall clock that jumps a day to and fro", () => {
  const environment = { BITNET_FAULT_CLOCK: "86400" };
  const run = (action: string, ...given: string[]): Promise<Awaited<ReturnType<typeof runChild>>> => {
    countFaults();
    return runChild(action, given, { environment: { ...environment, LD_PRELOAD: ioFaults(folder) } });
  };

  test("the program sees it", async () => {
    expect((await run("clock")).output).toBe("jumps");
  });

  test("a text is the same", async () => {
    expect(await run("canary", model)).toMatchObject({ code: 0, output: expected });
  });

  test("the packed cache is written once and read again", async () => {
    const cache = join(folder, "packed-clock");
    const written = await run("packed", model, cache);
    const names = readdirSync(cache);
    expect({ ...written, names: names.length }).toMatchObject({ code: 0, errors: "", names: 1 });
    expect(await run("packed", model, cache)).toEqual(written);
    expect(readdirSync(cache)).toEqual(names);
  });

  test("a conversation is saved and goes on", async () => {
    const state = join(folder, "clock.state");
    expect(await run("save", model, state)).toMatchObject({ code: 0, errors: "" });
    const { output } = await runChild("restore", [model, state]);
    expect(await run("restore", model, state)).toMatchObject({ code: 0, output });
  });

  test("a download comes to its end, whole", async () => {
    const bytes = Buffer.alloc(300_000, "some bytes that are no model ");
    const hub = new HubServer({ "owner/one": { "model.gguf": bytes } });
    await hub.start();
    try {
      const { code, output, errors } = await run("pull", hub.endpoint, join(folder, "hub-clock"));
      expect({ code, errors }).toEqual({ code: 0, errors: "" });
      expect(readFileSync(output).equals(bytes)).toBe(true);
    } finally {
      await hub.stop();
    }
  });

  test("a server answers, and none of its limits of time is over", async () => {
    expect(await run("served", model)).toMatchObject({ code: 0, output: "200 24 tokens, 200 24 tokens", errors: "" });
  });
});

test("an event loop that is blocked while a text is generated", async () => {
  countFaults(3);
  expect(await runChild("blocked", [model])).toMatchObject({ code: 0, output: "same" });
});

test("processes started while a text is generated", async () => {
  countFaults(6);
  expect(await runChild("spawning", [model])).toMatchObject({ code: 0, output: "same" });
});

test("workers ended at any moment of loading and generating", async () => {
  countFaults(20);
  expect(await runChild("workers", [model, "20"])).toMatchObject({ code: 0, output: expected });
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s in the middle of a text ends the process by that signal",
  async (signal) => {
    countFaults();
    const { spawn } = await import("node:child_process");
    const child = spawn(process.execPath, [join(__dirname, "child.cjs"), "forever", model], { stdio: "ignore" });
    await new Promise((resolve) => setTimeout(resolve, 700));
    child.kill(signal);
    const [code, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      child.on("exit", (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
    });
    expect([code, by]).toEqual([null, signal]);
  },
);
