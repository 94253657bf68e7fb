import type { FastifyInstance } from "fastify";
import type { Service } from "../service";

/** `GET /health` (the process lives), `GET /ready` (it takes requests) and `GET /metrics` (Prometheus). */
export function addHealth(app: FastifyInstance, service: Service): void {
  app.get("/health", { logLevel: "warn" }, () => ({ status: "ok" }));
  app.get("/ready", { logLevel: "warn" }, (_request, reply) => {
    const status = service.draining ? "draining" : service.models.ready ? "ready" : "loading";
    void reply.code(status === "ready" ? 200 : 503);
    return { status };
  });
  app.get("/metrics", { logLevel: "warn" }, async (_request, reply) => {
    void reply.type(service.metrics.registry.contentType);
    return service.metrics.registry.metrics();
  });
}
