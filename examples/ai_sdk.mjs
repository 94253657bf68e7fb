// The model in Vercel's AI SDK, without a server: npm install ai zod, then node examples/ai_sdk.mjs
import { embedMany, cosineSimilarity, generateText, Output, streamText } from "ai";
import { Model } from "node-bitnet";
import { bitnet, bitnetEmbedding } from "node-bitnet/ai-sdk";
import { z } from "zod";

const model = await Model.load();

const { textStream } = streamText({ model: bitnet(model), prompt: "Once upon a time", maxOutputTokens: 40, seed: 3 });
for await (const piece of textStream) process.stdout.write(piece);
process.stdout.write("\n");

const animal = z.object({
  name: z.string().max(12),
  kind: z.enum(["fox", "hare", "owl"]),
  age: z.int().min(1).max(99),
});
const { output } = await generateText({
  model: bitnet(model),
  prompt: "An animal of the forest:",
  seed: 3,
  output: Output.object({ schema: animal }),
});
console.log(`${output.name} is a ${output.kind}, ${output.age} years old.`);

const { embeddings } = await embedMany({ model: bitnetEmbedding(model), values: ["the king", "the queen", "a wolf"] });
console.log("king and queen:", cosineSimilarity(embeddings[0], embeddings[1]).toFixed(3));

await model.close();
