"use strict";

/**
 * Prints one line a kernel: its name and a digest of everything the model computed with it, so that two machines can be
 * compared by comparing lines. Used by scripts/test-neon.sh with this machine's Node and an emulated arm64 one.
 *
 * Usage: node logits.js PACKAGE_FOLDER MODEL.gguf KERNEL...
 */
const { createHash } = require("node:crypto");
const { resolve } = require("node:path");

const [packageFolder, modelFile, ...kernels] = process.argv.slice(2);
const { Model } = require(resolve(packageFolder));

/** 33 in-range ids: a GEMM with an odd last tile. Their first one alone is a GEMV. */
function tokensFor(vocabularySize) {
  const tokens = [];
  for (let state = 12345; tokens.length < 33; state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) {
    tokens.push((state >>> 8) % vocabularySize);
  }
  return tokens;
}

async function digest(kernel, kvType) {
  const model = await Model.load(modelFile, { kernel, kvType, threads: 2 });
  try {
    const hash = createHash("sha256");
    // Every vocabulary has at least the 256 bytes.
    for (const tokens of [[65], tokensFor(256).slice(0, 5), tokensFor(256)]) {
      const logits = await model.evaluate(tokens);
      const values = logits instanceof Float32Array ? logits : logits.data;
      if (!values.some((value) => value !== 0)) throw new Error("All logits are 0.");
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    const { text } = await model.generate("Once upon a time", { temperature: 0, maxTokens: 12 });
    return `${hash.update(text).digest("hex")} ${JSON.stringify(text)}`;
  } finally {
    await model.close();
  }
}

async function main() {
  for (const kernel of kernels) {
    for (const kvType of ["f16", "f32"]) {
      process.stdout.write(`${kernel} ${kvType} ${await digest(kernel, kvType)}\n`);
    }
  }
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = 1;
});
