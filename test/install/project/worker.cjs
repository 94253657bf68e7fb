"use strict";

const { Worker, isMainThread, parentPort } = require("node:worker_threads");
const { Model } = require("node-bitnet");
const { tell } = require("./tell.cjs");

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.on("message", (line) => process.stdout.write(line));
  worker.on("error", (error) => {
    throw error;
  });
} else {
  void tell(Model).then((line) => parentPort.postMessage(line));
}
