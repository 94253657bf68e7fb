// Streams text from an Express application: node examples/express_server.mjs, then
//   curl -N "http://127.0.0.1:3000/story?prompt=Once"       plain text, as it comes
//   curl -N "http://127.0.0.1:3000/events?prompt=Once"      server-sent events: JSON chunks, then [DONE]
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import express from "express";
import { InvalidOptionError, Model, toResponse } from "node-bitnet";

const model = await Model.load();
const app = express();
const options = { maxTokens: 60, temperature: 0.8 };

/** The text of each chunk. A client that leaves ends the pipeline, which ends the work. */
async function* texts(stream) {
  for await (const { text } of stream) yield text;
}

app.get("/story", async (request, response) => {
  const prompt = String(request.query.prompt ?? "Once upon a time");
  response.type("text/plain; charset=utf-8");
  await pipeline(Readable.from(texts(model.stream(prompt, options))), response);
});

app.get("/events", async (request, response) => {
  const prompt = String(request.query.prompt ?? "Once upon a time");
  const { status, headers, body } = toResponse(model.stream(prompt, options));
  response.writeHead(status, Object.fromEntries(headers));
  await pipeline(Readable.fromWeb(body), response);
});

app.use((error, _request, response, next) => {
  if (error.code === "ERR_STREAM_PREMATURE_CLOSE") return; // the client left
  if (response.headersSent) next(error);
  else response.status(error instanceof InvalidOptionError ? 400 : 500).json({ error: error.message });
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`Listening on http://127.0.0.1:${server.address().port}`);
});
process.once("SIGTERM", () => {
  // Streams under way are finished.
  server.close(() => void model.close());
});
