import type { FastifyInstance } from "fastify";
import { checkTokenIds, tokenId } from "../sampling_fields";
import { Fields } from "../fields";
import { Job } from "../job";
import type { Service } from "../service";

/** Characters; all texts are turned into tokens by one thread, which others wait for. */
const LONGEST_TEXT = 1_000_000;

/** `POST /tokenize` and `POST /detokenize`: text to token ids and back. */
export function addTokens(app: FastifyInstance, service: Service): void {
  app.post("/tokenize", (request, reply) =>
    Job.run(service, reply, async () => {
      const fields = new Fields(request.body);
      const model = fields.string("model");
      const text = fields.required("text", fields.string("text", LONGEST_TEXT));
      const addSpecial = fields.boolean("add_special") ?? true;
      fields.done();
      const { backend, release, id } = await service.models.acquire(model);
      try {
        const tokens = await backend.tokenizer.encode(text, { addSpecial });
        return { model: id, tokens: [...tokens], count: tokens.length };
      } finally {
        release();
      }
    }),
  );
  app.post("/detokenize", (request, reply) =>
    Job.run(service, reply, async () => {
      const fields = new Fields(request.body);
      const model = fields.string("model");
      const list = fields.required("tokens", fields.array("tokens"));
      const skipSpecial = fields.boolean("skip_special") ?? true;
      fields.done();
      const tokens = list.map((id) => tokenId(id, "tokens"));
      const { backend, release, id } = await service.models.acquire(model);
      try {
        checkTokenIds(tokens, backend.vocabularySize, "tokens");
        return { model: id, text: backend.tokenizer.decode(tokens, { skipSpecial }) };
      } finally {
        release();
      }
    }),
  );
}
