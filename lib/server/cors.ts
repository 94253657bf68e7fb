import type { FastifyInstance } from "fastify";

const EXPOSED = [
  "x-request-id",
  "retry-after",
  ...["limit", "remaining", "reset"].map((each) => `x-ratelimit-${each}-requests`),
].join(", ");

/**
 * Lets pages of other origins call the API. Credentials are never allowed: the API knows keys, no cookies.
 * @param origins "*" or origins like "https://example.org"; none: no headers at all
 */
export function addCors(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  const all = origins.includes("*");
  app.addHook("onRequest", async (request, reply) => {
    const { origin } = request.headers;
    if (!all) void reply.header("vary", "Origin");
    if (origin === undefined || !(all || origins.includes(origin))) return;
    void reply.header("access-control-allow-origin", all ? "*" : origin);
    void reply.header("access-control-expose-headers", EXPOSED);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return;
    void reply.header("access-control-allow-methods", "GET, POST");
    // Official clients send headers of their own (x-stainless-...), so what is asked for is what is allowed.
    const asked = request.headers["access-control-request-headers"];
    if (asked !== undefined) void reply.header("access-control-allow-headers", asked);
    void reply.header("access-control-max-age", "600");
    return reply.code(204).send();
  });
  // Hooks run for known routes only.
  app.options("/*", (_request, reply) => reply.code(204).send());
}
