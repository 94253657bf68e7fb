import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ApiError, toApiError } from "./api_error";
import { parseBody } from "./body";
import { addCors } from "./cors";
import { resolveServiceOptions, type ServiceOptions } from "./options";
import { addPage } from "./page";
import { addChatCompletions } from "./routes/chat_completions";
import { addCompletions } from "./routes/completions";
import { addEmbeddings } from "./routes/embeddings";
import { addHealth } from "./routes/health";
import { addModels } from "./routes/models";
import { addResponses } from "./routes/responses";
import { addTokens } from "./routes/tokens";
import { Service } from "./service";

/** Every group of routes below authentication; adding one is adding its file and a line here. */
const ROUTES = [addChatCompletions, addCompletions, addResponses, addEmbeddings, addModels, addTokens];

/** Open to everybody, because probes and browsers bring no keys. */
const OPEN = new Set(["/health", "/ready"]);

/**
 * The API as a Fastify plugin: `app.register(bitnetPlugin, { prefix: "/llm", models: [{ model }] })`. Errors, hooks and
 * body parsing stay within it. Models that the plugin loaded are closed with the application.
 * @throws InvalidOptionError; rejects when the first model cannot be loaded
 */
export async function bitnetPlugin(app: FastifyInstance, options: ServiceOptions & { prefix?: string }): Promise<void> {
  const { prefix: _prefix, ...given } = options;
  const service = new Service(resolveServiceOptions(given), app.log);
  addService(app, service);
  app.addHook("onClose", () => service.close());
  await service.models.preload();
}

/** Adds everything that a service answers to an application. */
export function addService(app: FastifyInstance, service: Service): void {
  app.removeAllContentTypeParsers();
  const { bodyLimit } = service.options;
  // Whatever the type says: every body is JSON, as with OpenAI.
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit }, (_request, body, done) => {
    try {
      done(null, parseBody(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  const sendError = errorSender(service);
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?")[0]?.slice(0, 200) ?? "";
    return sendError(
      new ApiError(404, `Invalid URL (${request.method} ${path})`, { code: "unknown_url" }),
      request,
      reply,
    );
  });
  addHeaders(app);
  addMeasurement(app, service);
  addCors(app, service.options.corsOrigins);
  addHealthAndApi(app, service);
  if (service.options.page) addPage(app);
}

function addHeaders(app: FastifyInstance): void {
  app.addHook("onRequest", async (request, reply) => {
    void reply.header("x-request-id", request.id);
    void reply.header("x-content-type-options", "nosniff");
  });
}

function addMeasurement(app: FastifyInstance, { metrics }: Service): void {
  app.addHook("onResponse", async (request, reply) => {
    // The pattern, not the path: labels must not grow with what clients ask for.
    const route = request.routeOptions.url ?? "unknown";
    metrics.requests.inc({ route, method: request.method, status: String(reply.statusCode) });
    metrics.requestSeconds.observe({ route }, reply.elapsedTime / 1000);
  });
}

function addHealthAndApi(app: FastifyInstance, service: Service): void {
  void app.register((api, _options, registered) => {
    api.addHook("onRequest", (request, reply, done) => {
      if (OPEN.has(request.routeOptions.url?.slice(app.prefix.length) ?? "")) {
        done();
        return;
      }
      const client = clientOf(service, request);
      if (request.method === "POST" && service.limiter) void reply.headers(service.limiter.take(client ?? request.ip));
      done();
    });
    addHealth(api, service);
    for (const add of ROUTES) add(api, service);
    registered();
  });
}

/** The client's name; whoever tries keys is held to the rate limit, too. @throws ApiError 401, 429 */
function clientOf({ auth, limiter }: Service, { headers, ip }: FastifyRequest): string | undefined {
  try {
    return auth.check(headers.authorization);
  } catch (error) {
    limiter?.take(`refused ${ip}`);
    throw error;
  }
}

function errorSender({ options: { logPrompts } }: Service) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const api = toApiError(error);
    // A refusal that the server means (busy, shutting down) is no failure, whatever its status.
    const meant = error instanceof ApiError && error.cause === undefined;
    const { status, code } = api;
    if (status >= 500 && !meant) request.log.error({ err: error }, "request failed");
    // The message may quote what the client sent.
    else request.log.info({ status, code, ...(logPrompts ? { reason: api.message } : {}) }, "request refused");
    return reply.code(status).headers(api.headers).type("application/json; charset=utf-8").send(api.body);
  };
}
