"use strict";

const { createHash } = require("node:crypto");

/**
 * Streams a story from the bundled model and prints a digest of it, which must be the same in every runtime and on every machine;
 * answers in a conversation, makes a vector and a value for a schema.
 */
exports.tell = async function tell(Model) {
  const model = await Model.load();
  let text = "";
  for await (const chunk of model.stream("Once upon a time", { temperature: 0, maxTokens: 32 })) text += chunk.text;
  const { text: whole, usage } = await model.generate("Once upon a time", { temperature: 0, maxTokens: 32 });
  const chat = model.chat({ template: "story", temperature: 0, maxTokens: 8 });
  const answer = await chat.ask("Once upon a time");
  chat.close();
  const [vector] = await model.embed(["The fox ran home."]);
  const { value } = await model.generate("Yes or no? ", { schema: { enum: ["yes", "no"] }, seed: 1 });
  await model.close();
  if (answer.usage.completionTokens !== 8) throw new Error(`the answer is ${JSON.stringify(answer)}`);
  if (vector.length === 0 || !vector.every(Number.isFinite)) throw new Error("the vector has no numbers");
  if (!["yes", "no"].includes(value)) throw new Error(`the value is ${JSON.stringify(value)}`);
  if (text !== whole) throw new Error(`stream and generate differ: ${JSON.stringify([text, whole])}`);
  if (text.length < 32 || usage.completionTokens !== 32) throw new Error(`too short: ${JSON.stringify(text)}`);
  return `OK ${createHash("sha256").update(text).digest("hex").slice(0, 16)}\n`;
};
