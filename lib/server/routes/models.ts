import type { FastifyInstance } from "fastify";
import type { ModelStatus } from "../registry";
import type { Service } from "../service";

/** `GET /v1/models` and `GET /v1/models/:model` */
export function addModels(app: FastifyInstance, service: Service): void {
  const body = ({ id, state, backend }: ModelStatus): object => ({
    id,
    object: "model",
    created: service.models.created,
    owned_by: "node-bitnet",
    // Beyond OpenAI's fields: what a client may want to choose by.
    state,
    ...(backend ? { context_length: backend.contextLength, features: [...backend.features] } : {}),
  });
  app.get("/v1/models", () => ({ object: "list", data: service.models.list().map(body) }));
  // Names may have slashes.
  app.get<{ Params: { "*": string } }>("/v1/models/*", ({ params }) => body(service.models.status(params["*"])));
}
