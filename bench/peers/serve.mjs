// node serve.mjs MODEL.gguf [sequences] [threads]: node-llama-cpp behind fastify, as one would write it: POST
// /v1/completions, streamed as server-sent events, texts batched by the sequences of one context. For
// bench/server-load.ts --beside.
import Fastify from "fastify";
import { getLlama, LlamaCompletion } from "node-llama-cpp";

const [modelPath, count = "16", threads] = process.argv.slice(2);
const sequences = Number(count);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: 512,
  batchSize: 512,
  sequences,
  ...(threads && { threads: Number(threads) }),
});
const free = Array.from({ length: sequences }, () => new LlamaCompletion({ contextSequence: context.getSequence() }));
const waiting = [];

function take() {
  const completion = free.pop();
  return completion ? Promise.resolve(completion) : new Promise((resolve) => waiting.push(resolve));
}
function giveBack(completion) {
  const next = waiting.shift();
  if (next) next(completion);
  else free.push(completion);
}

const app = Fastify();
app.post("/v1/completions", async (request, reply) => {
  const { prompt, max_tokens: maxTokens, temperature } = request.body;
  const controller = new AbortController();
  reply.raw.on("close", () => controller.abort());
  reply.hijack();
  const completion = await take();
  try {
    if (controller.signal.aborted) return;
    reply.raw.writeHead(200, { "content-type": "text/event-stream" });
    const onTextChunk = (text) => reply.raw.write(`data: ${JSON.stringify({ choices: [{ index: 0, text }] })}\n\n`);
    const { signal } = controller;
    await completion.generateCompletion(prompt, {
      maxTokens,
      temperature,
      signal,
      stopOnAbortSignal: true,
      onTextChunk,
    });
    reply.raw.end("data: [DONE]\n\n");
  } finally {
    giveBack(completion);
  }
});
console.log(await app.listen({ port: 0, host: "127.0.0.1" }));
process.once("SIGTERM", () => process.exit(0));
