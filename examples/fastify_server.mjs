// A Fastify application that streams on its own and has OpenAI's API below /llm: node examples/fastify_server.mjs, then
//   curl -N "http://127.0.0.1:3000/story?prompt=Once"       server-sent events: JSON chunks, then [DONE]
//   curl http://127.0.0.1:3000/llm/v1/completions -d '{ "prompt": "Once" }'
import Fastify from "fastify";
import { Model, toResponse } from "node-bitnet";
import { bitnetPlugin } from "node-bitnet/server";

const model = await Model.load();
const app = Fastify({ logger: { level: "warn" } });

app.get("/story", ({ query }) => {
  const { prompt = "Once upon a time" } = query;
  return toResponse(model.stream(prompt, { maxTokens: 60, temperature: 0.8 }));
});
await app.register(bitnetPlugin, { prefix: "/llm", models: [{ model }] });
app.addHook("onClose", () => model.close());

const url = await app.listen({ port: Number(process.env.PORT ?? 3000) });
console.log(`Listening on ${url}`);
process.once("SIGTERM", () => app.close());
