import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import { FileError } from "../errors";
import {
  resolveServerOptions,
  serviceOptionsOf,
  type ResolvedServerOptions,
  type ServerOptions,
  type ServiceOptions,
} from "./options";
import { addService, bitnetPlugin } from "./plugin";
import { Service } from "./service";

const CLOSE_AFTER_MS = 1000;
/** How often Node looks for requests that are late; its own default is 30 s. */
const LONGEST_CHECK_MS = 5000;

/** A server of its own. */
export class BitnetServer {
  /** @internal Made by `createServer`. */
  constructor(
    /** The Fastify application, for routes of your own before `listen`. */
    readonly app: FastifyInstance,
    private readonly service: Service,
    private readonly options: ResolvedServerOptions,
  ) {}

  /**
   * Listens, then loads the first model; `/ready` says 503 until then. Resolves to the server's URL when it is ready.
   * Rejects when the address is taken or the model cannot be loaded, and listens no more.
   */
  async listen(): Promise<string> {
    const { host, port, tls } = this.options;
    try {
      await this.app.listen({ host, port });
      await this.service.models.preload();
    } catch (error) {
      await this.close();
      throw error;
    }
    const address = this.app.server.address() as AddressInfo;
    const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `${tls ? "https" : "http"}://${name}:${address.port}`;
  }

  /**
   * Stops in order: new work gets 503, what was begun is finished (for at most `drainTimeout`), then the server closes.
   * Resolves to the number of answers that had to be cut off.
   */
  async drain(): Promise<number> {
    const cut = await this.service.drain(this.options.drainTimeout);
    await this.close();
    return cut;
  }

  /** Stops at once: answers under way end with an error. Idempotent. */
  async close(): Promise<void> {
    // Connections that carry a last answer have a moment to send it; those that send a request for ever have no more.
    const timer = setTimeout(() => this.app.server.closeAllConnections(), CLOSE_AFTER_MS);
    try {
      await this.app.close();
    } finally {
      clearTimeout(timer);
    }
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Makes a server; nothing is loaded or listened to before `listen`.
 * @throws InvalidOptionError, FileError for a certificate that cannot be read
 */
export function createServer(options?: ServerOptions): BitnetServer {
  const resolved = resolveServerOptions(options);
  const app = makeApp(resolved);
  const service = new Service(serviceOptionsOf(resolved), app.log);
  addService(app, service);
  app.addHook("preClose", () => service.close());
  return new BitnetServer(app, service, resolved);
}

/** A request listener for Node's own server, Express and others that take `(request, response)`. */
export interface BitnetHandler {
  (request: IncomingMessage, response: ServerResponse): void;
  /** Stops work and unloads the models that the handler loaded. */
  close: () => Promise<void>;
}

/**
 * The API as a request listener: `http.createServer(await createHandler())`, or `app.use("/llm", handler)`. It reads the
 * body itself: put it before middleware that does.
 * @throws InvalidOptionError; rejects when the first model cannot be loaded
 */
export async function createHandler(options: ServiceOptions = {}): Promise<BitnetHandler> {
  const app = Fastify({ genReqId: requestId, requestIdHeader: false });
  await app.register(bitnetPlugin, options);
  await app.ready();
  const handler = (request: IncomingMessage, response: ServerResponse): void => app.routing(request, response);
  return Object.assign(handler, { close: () => app.close() });
}

function makeApp(options: ResolvedServerOptions): FastifyInstance {
  const { tls, trustProxy, requestTimeout, logLevel, bodyLimit } = options;
  const settings: FastifyServerOptions = {
    bodyLimit,
    trustProxy,
    genReqId: requestId,
    requestIdHeader: false,
    // Head and body together: whoever sends a byte a second is cut off.
    requestTimeout,
    // Closing ends connections that idle; those with an answer under way are waited for.
    forceCloseConnections: "idle",
    return503OnClosing: false,
    logger: {
      level: logLevel,
      // A key in a header never reaches the log, whatever is logged of a request.
      redact: ["req.headers.authorization", "headers.authorization"],
    },
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: true },
  };
  const http = {
    // Node takes the shorter of the two for the head.
    headersTimeout: requestTimeout,
    connectionsCheckingInterval: Math.min(requestTimeout, LONGEST_CHECK_MS),
  };
  if (!tls) return Fastify({ ...settings, http });
  const https = { ...http, cert: readPem("certificate", tls.cert), key: readPem("key", tls.key) };
  return Fastify({ ...settings, https } as FastifyServerOptions);
}

function readPem(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FileError(
      `Cannot read the ${what} "${path}": ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** A client's own id where it is harmless in headers and logs, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}
