// Finds the sentences that are nearest to a question: node examples/embeddings_search.mjs "a bird in the tree"
// The bundled model was trained to tell stories, not to make vectors: take an embedding model for real use.
import { Model } from "node-bitnet";

const sentences = [
  "The king sat upon his throne and spoke to the queen.",
  "A little bird sang in the top of the tree.",
  "The fisherman cast his net into the sea.",
  "The old witch lived in a house in the dark forest.",
  "The prince rode away upon a white horse.",
  "The soldier had a sword and nothing else in the world.",
];
const question = process.argv[2] ?? "a bird in the tree";

const model = await Model.load();
// Vectors have length 1, so that a dot product is the cosine.
const [wanted, ...vectors] = await model.embed([question, ...sentences]);
const scored = vectors.map((vector, i) => ({
  sentence: sentences[i],
  score: vector.reduce((sum, value, k) => sum + value * wanted[k], 0),
}));
scored.sort((a, b) => b.score - a.score);
for (const { sentence, score } of scored.slice(0, 3)) console.log(score.toFixed(3), sentence);
await model.close();
