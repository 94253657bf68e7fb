"use strict";

// Workers one after another, each other one ended from outside at another moment: while the model loads, while a text is
// being generated. The process must outlive all of them.
const { setTimeout } = require("node:timers");
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
const { Model } = require("node-bitnet");
const { tell } = require("./tell.cjs");

/** Milliseconds after the worker said that it runs. */
const MOMENTS = [0, 5, 20, 80];

function run(task, endAfter) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: task });
    let last;
    worker.on("message", (message) => {
      if (last === undefined && endAfter !== undefined) setTimeout(() => void worker.terminate(), endAfter);
      last = message;
    });
    worker.on("error", reject);
    worker.on("exit", () => resolve(last));
  });
}

async function main() {
  for (const moment of MOMENTS) {
    await run("load", moment);
    await run("stream", moment);
  }
  process.stdout.write(await run("tell"));
}

const tasks = {
  async tell() {
    parentPort.postMessage(await tell(Model));
  },
  async load() {
    parentPort.postMessage("begins");
    for (;;) await (await Model.load()).close();
  },
  async stream() {
    const model = await Model.load();
    for (;;) {
      for await (const chunk of model.stream("Once upon a time", { maxTokens: 100, ignoreEos: true })) {
        if (chunk.text.length > 0) parentPort.postMessage("streams");
      }
    }
  },
};

if (isMainThread) void main();
else void tasks[workerData]();
