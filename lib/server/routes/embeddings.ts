import type { FastifyInstance } from "fastify";
import { ApiError, invalid } from "../api_error";
import { Fields } from "../fields";
import { Job } from "../job";
import { checkLength } from "../length";
import { checkTokenIds, tokenId } from "../sampling_fields";
import type { Service } from "../service";

/** As many as OpenAI takes. */
const MOST_INPUTS = 2048;

/** `POST /v1/embeddings` */
export function addEmbeddings(app: FastifyInstance, service: Service): void {
  app.post("/v1/embeddings", (request, reply) =>
    Job.run(service, reply, async (job) => {
      const fields = new Fields(request.body);
      const model = fields.string("model");
      const inputs = readInputs(fields);
      const base64 = fields.choice("encoding_format", ["float", "base64"]) === "base64";
      const dimensions = fields.integer("dimensions", { min: 1 });
      fields.ignore("user");
      fields.done();
      const { id, backend } = await job.enter(model, 1);
      if (!backend.embed) {
        throw new ApiError(400, `The model '${id}' does not offer embeddings.`, {
          param: "model",
          code: "unsupported_model",
        });
      }
      const { embeddingLength } = backend;
      if (dimensions !== undefined && embeddingLength !== undefined && dimensions > embeddingLength) {
        throw invalid(`Invalid 'dimensions': the model's vectors have ${embeddingLength} numbers.`, "dimensions");
      }
      const tokens = await Promise.all(
        inputs.map(async (input) => {
          if (typeof input === "string") {
            await checkLength(backend, input);
            return backend.tokenizer.encode(input);
          }
          checkTokenIds(input, backend.vocabularySize, "input");
          return input;
        }),
      );
      const vectors = await backend.embed(tokens, {
        signal: job.signal,
        ...(dimensions === undefined ? {} : { dimensions }),
      });
      const count = tokens.reduce((total, { length }) => total + length, 0);
      service.metrics.prompt(id, { promptTokens: count, cachedTokens: 0 });
      return {
        object: "list",
        data: vectors.map((vector, index) => ({
          object: "embedding",
          index,
          embedding: base64 ? toBase64(vector) : Array.from(vector),
        })),
        model: id,
        usage: { prompt_tokens: count, total_tokens: count },
      };
    }),
  );
}

function readInputs(fields: Fields): (string | number[])[] {
  const value = fields.required("input", fields.any("input"));
  const one = typeof value === "string" || (Array.isArray(value) && typeof value[0] === "number");
  if (!one && !Array.isArray(value)) throw fields.wrongType("input", "a string or an array", value);
  const list: unknown[] = one ? [value] : (value as unknown[]);
  if (list.length === 0 || list.length > MOST_INPUTS) {
    throw invalid(`Invalid 'input': 1 to ${MOST_INPUTS} inputs are allowed, but got ${list.length}.`, "input");
  }
  return list.map((each) => {
    if (typeof each === "string" && each !== "") return each;
    if (Array.isArray(each) && each.length > 0) return each.map((id) => tokenId(id, "input"));
    throw invalid("Invalid 'input': each must be a string or an array of token ids that is not empty.", "input");
  });
}

/** Little-endian floats, as OpenAI's clients expect them. */
function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString("base64");
}
