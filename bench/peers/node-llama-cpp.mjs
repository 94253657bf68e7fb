// node node-llama-cpp.mjs MODEL.gguf [threads,...]: prefill of 512 tokens and decode of 32 after 32, tokens per second, as
// one JSON line per thread count and repetition. Install first: `npm install` in this folder (1.1 GB).
import { getLlama } from "node-llama-cpp";

const [modelPath, threadList = "1,2"] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const tokens = Array.from({ length: 512 }, (_, i) => (i * 7919 + 13) % 128000);
for (const threads of threadList.split(",").map(Number)) {
  const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads });
  const sequence = context.getSequence();
  for (let repetition = 0; repetition < 3; repetition++) {
    await sequence.clearHistory();
    let start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
    const prefill = 512e3 / (performance.now() - start);
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(0, 32));
    let count = 0;
    start = performance.now();
    for await (const token of sequence.evaluate([5], { temperature: 0 })) {
      if (token === undefined || ++count >= 32) break;
    }
    const decode = (count * 1e3) / (performance.now() - start);
    console.log(JSON.stringify({ threads, prefill: +prefill.toFixed(1), decode: +decode.toFixed(2) }));
  }
  await context.dispose();
}
await model.dispose();
process.exit(0);
