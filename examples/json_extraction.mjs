// Values instead of text: node examples/json_extraction.mjs
// The schema is kept token by token, so that even a very small model gives valid data. Plain JSON schema here; zod 4
// schemas are taken, too, and type the result.
import { Model } from "node-bitnet";

const schema = {
  type: "object",
  properties: {
    who: { type: "string", minLength: 2, maxLength: 20 },
    mood: { enum: ["happy", "sad", "angry"] },
    gifts: { type: "array", items: { type: "string", maxLength: 12 }, minItems: 1, maxItems: 3 },
    year: { type: "integer", minimum: 1000, maximum: 1999 },
  },
  required: ["who", "mood", "gifts", "year"],
  additionalProperties: false,
};

const model = await Model.load();
// All are computed together.
const stories = ["There was once a king who had a golden bird.", "A poor widow lived alone in a little cottage."];
const results = await Promise.all(
  stories.map((story, seed) => model.generate(`${story}\n`, { schema, seed, temperature: 0.7, maxTokens: 300 })),
);
for (const { value } of results) console.log(JSON.stringify(value));
await model.close();
