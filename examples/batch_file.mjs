// Answers a file of prompts, a JSON object a line: node examples/batch_file.mjs prompts.jsonl answers.jsonl
// Lines are read as they are needed and many are computed together; the answers come in the order of the prompts. A line
// that fails gets an "error", and the others go on.
import { createReadStream, createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Model } from "node-bitnet";

const [input, output] = process.argv.slice(2);
if (output === undefined) {
  console.error("usage: node batch_file.mjs prompts.jsonl answers.jsonl");
  process.exit(2);
}
/** Enough to fill the batches, few enough for any file. */
const AT_A_TIME = 16;

const model = await Model.load();

async function answer(line) {
  try {
    const { id, prompt, ...options } = JSON.parse(line);
    const { text, usage, finishReason } = await model.generate(prompt, { maxTokens: 50, seed: 1, ...options });
    return { id, text, finishReason, tokens: usage.completionTokens };
  } catch (error) {
    return { line, error: error.message };
  }
}

async function* answers() {
  const pending = [];
  for await (const line of createInterface({ input: createReadStream(input) })) {
    if (line.trim() === "") continue;
    pending.push(answer(line));
    if (pending.length === AT_A_TIME) yield `${JSON.stringify(await pending.shift())}\n`;
  }
  for (const each of pending) yield `${JSON.stringify(await each)}\n`;
}

await pipeline(Readable.from(answers()), createWriteStream(output));
const { computedTokens, steps } = model.stats();
console.log(`${computedTokens} tokens in ${steps} steps`);
await model.close();
