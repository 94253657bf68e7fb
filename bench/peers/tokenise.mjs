// node tokenise.mjs MODEL.gguf [strings]: loads the file here and in node-llama-cpp and compares the ids of random strings.
// Exits with 1 where they differ. Install first: `npm install` in this folder (1.1 GB).
import { getLlama } from "node-llama-cpp";
import { Model } from "../../dist/index.mjs";
import { fuzz } from "./fuzz.mjs";

const [modelPath, count = "1000"] = process.argv.slice(2);
// A zero byte ends a string in llama.cpp's C interface; no text has one.
const strings = fuzz(Number(count)).map((text) => text.replaceAll("\0", " "));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const theirs = await llama.loadModel({ modelPath });
const context = await theirs.createContext({ contextSize: 64, threads: 1 });
const sequence = context.getSequence();
const ours = await Model.load(modelPath);
let different = 0;
for (const text of strings) {
  const [a, b] = [[...(await ours.tokenizer.encode(text, { addSpecial: false }))], [...theirs.tokenize(text, false)]];
  if (a.join() === b.join()) continue;
  if (different++ < 5) console.log(JSON.stringify({ text, ours: a, theirs: b }));
}
// It computes too: the next token after a prompt.
const prompt = [...(await ours.tokenizer.encode("Once upon a time"))];
const step = sequence.evaluate(prompt, { temperature: 0 });
const next = (await step.next()).value;
console.log(JSON.stringify({ model: modelPath, strings: strings.length, different, nextToken: next }));
await ours.close();
process.exit(different === 0 && next !== undefined ? 0 : 1);
