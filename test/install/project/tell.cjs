"use strict";

const { createHash } = require("node:crypto");

/** Streams a story from the bundled model and prints a digest of it: every runtime and machine must print the same. */
exports.tell = async function tell(Model) {
  const model = await Model.load();
  let text = "";
  for await (const chunk of model.stream("Once upon a time", { temperature: 0, maxTokens: 32 })) text += chunk.text;
  const { text: whole, usage } = await model.generate("Once upon a time", { temperature: 0, maxTokens: 32 });
  await model.close();
  if (text !== whole) throw new Error(`stream and generate differ: ${JSON.stringify([text, whole])}`);
  if (text.length < 32 || usage.completionTokens !== 32) throw new Error(`too short: ${JSON.stringify(text)}`);
  return `OK ${createHash("sha256").update(text).digest("hex").slice(0, 16)}\n`;
};
