"use strict";
/* global Buffer, console, fetch, performance, setTimeout */
/** What the fault tests run in a process of its own, from the built package: child.cjs <action> <argument>... */
const { readFileSync, truncateSync, writeFileSync } = require("node:fs");
const { createHash } = require("node:crypto");
const bitnet = require("../../dist");

const OPTIONS = { threads: 2, kernel: "auto" };
const PROMPT = "Once upon a time";
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A text that must be the same whatever happened before. */
async function canary(model) {
  const { tokens, text } = await model.generate(PROMPT, { maxTokens: 24, temperature: 0 });
  return createHash("sha256").update(text).update(String(tokens)).digest("hex");
}

const actions = {
  async convert(folder, out) {
    await bitnet.convertToGguf(folder, out);
  },
  async pull(endpoint, cache) {
    const { path } = await bitnet.pull("hf:owner/one", {
      endpoint,
      cache,
      partBytes: 65536,
      retryDelay: 1,
      offline: false,
    });
    console.log(path);
  },
  async canary(path) {
    const model = await bitnet.Model.load(path, OPTIONS);
    console.log(await canary(model));
    await model.close();
  },
  /** Loads with a packed cache, which is written when the model is closed or read. */
  async packed(path, cache) {
    const model = await bitnet.Model.load(path, { ...OPTIONS, kernel: "scalar", packedCache: cache });
    const before = await canary(model);
    await model.close();
    console.log(before);
  },
  /** Saves a conversation. */
  async save(path, state) {
    const model = await bitnet.Model.load(path, OPTIONS);
    const chat = model.chat({ template: "story", temperature: 0, maxTokens: 60, ignoreEos: true });
    await chat.ask(PROMPT);
    await model.saveState(chat, state);
    await model.close();
  },
  /** Goes on with a saved conversation. */
  async restore(path, state) {
    const model = await bitnet.Model.load(path, OPTIONS);
    const chat = await model.loadState(state, { temperature: 0, maxTokens: 12 });
    const { tokens } = await chat.ask("And then");
    console.log(String(tokens));
    await model.close();
  },
  /** Writes other bytes over the file while the model is in use: texts may change, and nothing ends. */
  async overwritten(path) {
    const whole = readFileSync(path);
    const model = await bitnet.Model.load(path, OPTIONS);
    const outcome = model.generate(PROMPT, { maxTokens: 200, temperature: 0, ignoreEos: true }).then(
      () => "a text",
      (error) => error.code,
    );
    for (const [byte, wait] of [
      [255, 20],
      [0, 20],
      [127, 20],
    ]) {
      writeFileSync(path, Buffer.alloc(whole.length, byte), { flag: "r+" });
      await sleep(wait);
    }
    await model.generate(PROMPT, { maxTokens: 24, temperature: 0 }).catch(() => undefined);
    await model.close();
    writeFileSync(path, whole);
    const again = await bitnet.Model.load(path, OPTIONS);
    console.log(JSON.stringify({ outcome: await outcome, canary: await canary(again) }));
    await again.close();
  },
  /** Cuts the file off while the model is in use: the next text fails, and the process goes on. */
  async truncated(path, bytes) {
    const whole = readFileSync(path);
    const model = await bitnet.Model.load(path, OPTIONS);
    const before = await canary(model);
    truncateSync(path, Number(bytes));
    const failure = await model.generate(PROMPT, { maxTokens: 24, temperature: 0 }).then(
      () => "none",
      (error) => `${error.code} ${error.message}`,
    );
    await model.close();
    writeFileSync(path, whole);
    const again = await bitnet.Model.load(path, OPTIONS);
    console.log(JSON.stringify({ failure, same: before === (await canary(again)) }));
    await again.close();
  },
  /** Cuts the file off while it is loaded. */
  async truncatedLoading(path, bytes) {
    const loading = bitnet.Model.load(path, OPTIONS);
    await sleep(1);
    truncateSync(path, Number(bytes));
    const failure = await loading.then(
      async (model) => {
        await model.close();
        return "none";
      },
      (error) => error.code,
    );
    console.log(failure);
  },
  /** Blocks the event loop for seconds in the middle of a text. */
  async blocked(path) {
    const model = await bitnet.Model.load(path, OPTIONS);
    const expected = await canary(model);
    const running = canary(model);
    for (let i = 0; i < 3; i++) {
      const end = performance.now() + 700;
      while (performance.now() < end);
      await sleep(1);
    }
    console.log((await running) === expected ? "same" : "different");
    await model.close();
  },
  /** Starts other processes while a text is generated. */
  async spawning(path) {
    const { execFileSync, fork } = require("node:child_process");
    const model = await bitnet.Model.load(path, OPTIONS);
    const expected = await canary(model);
    const running = canary(model);
    for (let i = 0; i < 5; i++) execFileSync("true");
    const child = fork(__filename, ["nothing"]);
    await new Promise((resolve) => child.on("exit", resolve));
    console.log((await running) === expected ? "same" : "different");
    await model.close();
  },
  /** Ends workers at any moment of their work. */
  async workers(path, count) {
    const { Worker } = require("node:worker_threads");
    for (let i = 0; i < Number(count); i++) {
      const worker = new Worker(__filename, { argv: ["forever", path] });
      await sleep((i * 37) % 250);
      await worker.terminate();
    }
    await actions.canary(path);
  },
  async forever(path) {
    const model = await bitnet.Model.load(path, OPTIONS);
    for (;;) await Promise.all([1, 2, 3].map((seed) => model.generate(PROMPT, { maxTokens: 64, seed })));
  },
  /** Tokenizes with an expression that stands in a tokenizer.json. */
  async tokenizer(expression, text) {
    const { tokenizerFromJson } = require("../../dist/tokenizer");
    const json = {
      normalizer: null,
      post_processor: null,
      added_tokens: [],
      pre_tokenizer: { type: "Split", pattern: { Regex: expression }, behavior: "Isolated", invert: false },
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab: { a: 0, b: 1, c: 2 }, merges: [] },
    };
    const tokenizer = await tokenizerFromJson(JSON.stringify(json));
    console.log(String(await tokenizer.encode(text)));
    tokenizer.close();
  },
  /** Whether the wall clock jumps. */
  async clock() {
    const times = Array.from({ length: 20 }, () => Date.now());
    console.log(times.some((time, i) => i > 0 && Math.abs(time - times[i - 1]) > 3_600_000) ? "jumps" : "goes on");
  },
  /** Two requests to a server of its own. */
  async served(path) {
    const { createServer } = require("../../dist/server");
    const server = createServer({ models: [{ path }], port: 0, logLevel: "silent" });
    const url = await server.listen();
    const answers = [];
    for (let i = 0; i < 2; i++) {
      const body = JSON.stringify({ prompt: PROMPT, max_tokens: 24, temperature: 0, ignore_eos: true });
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${url}/v1/completions`, { method: "POST", headers, body });
      answers.push(`${response.status} ${(await response.json()).usage?.completion_tokens} tokens`);
    }
    console.log(answers.join(", "));
    await server.close();
  },
  async nothing() {},
};

const [action, ...given] = process.argv.slice(2);
actions[action](...given).catch((error) => {
  console.error(`${error.code ?? "untyped"} ${error.name}: ${error.message}`);
  process.exit(error.code?.startsWith("ERR_") && error instanceof bitnet.BitnetError ? 3 : 4);
});
