import { InvalidOptionError } from "../errors";
import { KV_TYPES } from "../engine";
import { Model } from "../model";
import { boolean, checkOptions, choice, describe, integer, listOf, text } from "../validate";
import type { Backend } from "./backend";
import type { ModelConfig } from "./registry";

/** How requests are served; for the plugin and the handler, which leave listening to the application. */
export interface ServiceOptions {
  /** The models; the first answers requests that name none. Default: the model that ships with the package. */
  models?: readonly ModelConfig[];
  /** Keys of which a client must give one as `Authorization: Bearer`. Default none: everybody may enter. */
  apiKeys?: readonly string[];
  /** Origins whose pages may call the API ("https://example.org"), or "*" for all. Default none. */
  corsOrigins?: readonly string[];
  /** Largest request body in bytes. Default 4 MiB. */
  bodyLimit?: number;
  /** Requests that a client (its key, else its address) may make in a minute; 0: any number. Default 0. */
  rateLimit?: number;
  /** Texts that are generated at the same time; more wait. Default 16. */
  maxConcurrent?: number;
  /** Requests that wait; more are refused with 429. Default 64. */
  maxQueue?: number;
  /** Longest wait for a turn in milliseconds. Default 60,000. */
  queueTimeout?: number;
  /** Longest time that an answer may take in milliseconds. Default 600,000. */
  generationTimeout?: number;
  /** A client that reads nothing of a stream for so long is cut off; milliseconds. Default 30,000. */
  stallTimeout?: number;
  /** Unloads models that were not used for so long, the preloaded ones excepted; milliseconds, 0: never. Default 0. */
  idleUnload?: number;
  /** Serves the chat page at / and the dashboard at /dashboard. Default true. */
  page?: boolean;
  /** Writes prompts and answers to the log, at level "info". Default false. */
  logPrompts?: boolean;
}

/** Files of a certificate. */
export interface TlsFiles {
  /** Certificate chain, PEM. */
  cert: string;
  /** Private key, PEM. */
  key: string;
}

/** Options of a server of its own. */
export interface ServerOptions extends ServiceOptions {
  /** Address to listen on. Default "127.0.0.1": this machine only. */
  host?: string;
  /** Port to listen on; 0: any that is free. Default 8080. */
  port?: number;
  /** Serves HTTPS. Default: plain HTTP. */
  tls?: TlsFiles;
  /** Takes a client's address from `X-Forwarded-For`; only behind a proxy that sets it. Default false. */
  trustProxy?: boolean;
  /** A request's head and body must have come after so long; milliseconds. Default 30,000. */
  requestTimeout?: number;
  /** On `drain`, streams under way may take so long to finish; milliseconds. Default 60,000. */
  drainTimeout?: number;
  /** Default "info". */
  logLevel?: LogLevel;
}

/** Levels of the log, the quietest last. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** A level of the log. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Service options with every default filled in. */
export type ResolvedServiceOptions = Required<ServiceOptions>;

/** Server options with every default filled in. */
export type ResolvedServerOptions = Required<Omit<ServerOptions, "tls">> & Pick<ServerOptions, "tls">;

const milliseconds = integer({ min: 1, max: 2 ** 31 - 1 });
const millisecondsOrOff = integer({ min: 0, max: 2 ** 31 - 1 });

const serviceChecks = {
  models: listOf(modelConfig, { min: 1 }),
  apiKeys: listOf(apiKey),
  corsOrigins: listOf(origin),
  bodyLimit: integer({ min: 1024, max: 2 ** 28 }),
  rateLimit: integer({ min: 0 }),
  maxConcurrent: integer({ min: 1, max: 256 }),
  maxQueue: integer({ min: 0, max: 100_000 }),
  queueTimeout: milliseconds,
  generationTimeout: milliseconds,
  stallTimeout: milliseconds,
  idleUnload: millisecondsOrOff,
  page: boolean(),
  logPrompts: boolean(),
};

const serverChecks = {
  ...serviceChecks,
  host: text(),
  port: integer({ min: 0, max: 65535 }),
  tls: tlsFiles,
  trustProxy: boolean(),
  requestTimeout: milliseconds,
  drainTimeout: millisecondsOrOff,
  logLevel: choice(LOG_LEVELS),
};

const serviceDefaults: ResolvedServiceOptions = {
  models: [{}],
  apiKeys: [],
  corsOrigins: [],
  bodyLimit: 4 * 2 ** 20,
  rateLimit: 0,
  maxConcurrent: 16,
  maxQueue: 64,
  queueTimeout: 60_000,
  generationTimeout: 600_000,
  stallTimeout: 30_000,
  idleUnload: 0,
  page: true,
  logPrompts: false,
};

/** @throws InvalidOptionError */
export function resolveServiceOptions(options: ServiceOptions | undefined): ResolvedServiceOptions {
  return { ...serviceDefaults, ...checkOptions("bitnetPlugin", options, serviceChecks) };
}

/** @throws InvalidOptionError */
export function resolveServerOptions(options: ServerOptions | undefined): ResolvedServerOptions {
  return {
    ...serviceDefaults,
    host: "127.0.0.1",
    port: 8080,
    trustProxy: false,
    requestTimeout: 30_000,
    drainTimeout: 60_000,
    logLevel: "info",
    ...checkOptions("createServer", options, serverChecks),
  };
}

/** The part of server options that the plugin takes. */
export function serviceOptionsOf(options: ResolvedServerOptions): ResolvedServiceOptions {
  const names = Object.keys(serviceChecks) as (keyof ResolvedServiceOptions)[];
  return Object.fromEntries(names.map((name) => [name, options[name]])) as unknown as ResolvedServiceOptions;
}

const modelConfigChecks = {
  id: text(),
  aliases: listOf(text()),
  path: text(),
  template: text(),
  preload: boolean(),
  model: loadedModel,
  backend: (_name: string, value: unknown) => value as Backend,
  // Checked by Model.load, which knows them.
  threads: integer({ min: 1 }),
  contextLength: integer({ min: 1 }),
  kernel: text(),
  kvType: choice(KV_TYPES),
  maxBatchTokens: integer({ min: 1 }),
  prefillChunk: integer({ min: 1 }),
  maxConcurrent: integer({ min: 1 }),
  memoryLimit: (_name: string, value: unknown) => value as number | string,
};

function modelConfig(name: string, value: unknown): ModelConfig {
  return checkOptions(name, value, modelConfigChecks);
}

function loadedModel(name: string, value: unknown): Model {
  if (value instanceof Model) return value;
  throw new InvalidOptionError(`${name} must be a Model, not ${describe(value)}.`);
}

/** Keys travel in a header: visible ASCII without spaces. Messages never show one. */
function apiKey(name: string, value: unknown): string {
  if (typeof value === "string" && /^[\x21-\x7e]{8,512}$/.test(value)) return value;
  throw new InvalidOptionError(`${name} must be 8 to 512 visible ASCII characters without spaces.`);
}

function origin(name: string, value: unknown): string {
  if (value === "*") return value;
  if (typeof value === "string" && URL.canParse(value) && new URL(value).origin === value) return value;
  throw new InvalidOptionError(`${name} must be "*" or an origin like "https://example.org", not ${describe(value)}.`);
}

function tlsFiles(name: string, value: unknown): TlsFiles {
  const { cert, key } = checkOptions(name, value, { cert: text(), key: text() });
  if (cert !== undefined && key !== undefined) return { cert, key };
  throw new InvalidOptionError(`${name} must name both files: { cert, key }.`);
}
