import { createHash } from "node:crypto";
import { BitnetError, Model, type Chunk, type GenerationResult } from "node-bitnet";

async function main(): Promise<void> {
  const model = await Model.load(undefined, { threads: 1 });
  let text = "";
  for await (const chunk of model.stream("Once upon a time", { temperature: 0, maxTokens: 32 })) {
    const each: Chunk = chunk;
    text += each.text;
  }
  const result: GenerationResult = await model.generate("Once upon a time", { temperature: 0, maxTokens: 32 });
  await model.close();
  if (result.text !== text) throw new BitnetError("stream and generate differ");
  process.stdout.write(`OK ${createHash("sha256").update(text).digest("hex").slice(0, 16)}\n`);
}

void main();
