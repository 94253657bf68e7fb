// An application of its own with the API below /llm: node examples/fastify_server.mjs
import Fastify from "fastify";
import { Model } from "node-bitnet";
import { bitnetPlugin } from "node-bitnet/server";

const model = await Model.load();
const app = Fastify({ logger: true });

app.get("/", () => ({ hello: "world" }));
await app.register(bitnetPlugin, { prefix: "/llm", models: [{ model }] });
app.addHook("onClose", () => model.close());

const url = await app.listen({ port: Number(process.env.PORT ?? 3000) });
console.log(`OpenAI's API is at ${url}/llm/v1`);
process.once("SIGTERM", () => app.close());
