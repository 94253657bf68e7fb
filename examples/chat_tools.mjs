// A chat whose model calls functions: npm install zod, then node examples/chat_tools.mjs
// The bundled model tells stories and would never think of calling anything: `toolChoice` makes it, and its arguments are
// held to the schema. A model that was trained to call functions decides by itself; leave `toolChoice` out then.
import { Model, tool } from "node-bitnet";
import { z } from "zod";

const stock = { apples: 3, bread: 0, honey: 7 };
const thing = z.enum(["apples", "bread", "honey"]);
const options = { maxTokens: 80, seed: 4, parallelToolCalls: false };

const model = await Model.load();

// A function that is called here: its result is told to the model, which goes on. All of it is one turn.
const shop = model.chat({
  ...options,
  toolErrors: "tell", // the model is told of a function that throws, too
  tools: {
    stock: tool({
      description: "Counts a thing",
      parameters: z.object({ thing }),
      execute: (input) => ({ pieces: stock[input.thing] }),
    }),
  },
});
for await (const chunk of shop.send("What is there?", { toolChoice: { name: "stock" } })) {
  for (const call of chunk.toolCalls ?? []) process.stdout.write((call.name ?? "") + call.arguments);
  for (const { content } of chunk.toolResults ?? []) process.stdout.write(` -> ${content}\n`);
  process.stdout.write(chunk.text);
}
process.stdout.write("\n");

// One without `execute`, because it costs money: the call is handed over, and answered when somebody agreed.
const order = model.chat({
  ...options,
  tools: { order: tool({ parameters: z.object({ thing, pieces: z.int().min(1).max(9) }) }) },
});
const { toolCalls } = await order.ask("Order something.", { toolChoice: "required" });
const [call] = toolCalls;
console.log("to be agreed:", call.name, JSON.parse(call.arguments));
const answer = order.sendToolResults([{ id: call.id, content: "done" }], { toolChoice: "none" });
for await (const { text } of answer) process.stdout.write(text);
process.stdout.write("\n");

shop.close();
order.close();
await model.close();
