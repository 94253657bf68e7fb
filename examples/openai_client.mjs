// Talks to a server with OpenAI's client: npx node-bitnet serve, then node examples/openai_client.mjs
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.BITNET_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.BITNET_API_KEY ?? "not-needed",
});

const [model] = (await client.models.list()).data;
const stream = await client.chat.completions.create({
  model: model.id,
  messages: [{ role: "user", content: "Once upon a time" }],
  max_tokens: 60,
  seed: 7,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
process.stdout.write("\n");
