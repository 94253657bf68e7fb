import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FileError, InvalidOptionError } from "../errors";
import { checkOptions, describe, listOf, suggestion, text } from "../validate";
import { LOG_LEVELS, type ServerOptions } from "./options";
import type { ModelConfig } from "./registry";

/** A setting that has a flag (`--max-queue`), an environment variable (`BITNET_MAX_QUEUE`) and a name in the file. */
export interface Setting {
  name: keyof ServerOptions | "apiKeysFile" | "tlsCert" | "tlsKey";
  kind: "text" | "number" | "switch" | "list";
  /** What stands behind the flag in the help. */
  value?: string;
  help: string;
}

/** Everything that can be set, in the order of the help. */
export const SETTINGS: readonly Setting[] = [
  {
    name: "host",
    kind: "text",
    value: "address",
    help: "address to listen on (default: 127.0.0.1, this machine only)",
  },
  { name: "port", kind: "number", value: "n", help: "port to listen on; 0: any that is free (default: 8080)" },
  { name: "apiKeysFile", kind: "text", value: "file", help: "keys of which clients must give one, a line each" },
  {
    name: "corsOrigins",
    kind: "list",
    value: "origin",
    help: "pages that may call the API; * for all (default: none)",
  },
  { name: "tlsCert", kind: "text", value: "file", help: "certificate chain, PEM; with --tls-key serves HTTPS" },
  { name: "tlsKey", kind: "text", value: "file", help: "private key, PEM" },
  { name: "trustProxy", kind: "switch", help: "take client addresses from X-Forwarded-For" },
  { name: "bodyLimit", kind: "number", value: "bytes", help: "largest request (default: 4194304)" },
  { name: "rateLimit", kind: "number", value: "n", help: "requests a minute for each client; 0: any (default: 0)" },
  { name: "maxConcurrent", kind: "number", value: "n", help: "texts generated at a time (default: 16)" },
  { name: "maxQueue", kind: "number", value: "n", help: "requests that wait; more get 429 (default: 64)" },
  { name: "queueTimeout", kind: "number", value: "ms", help: "longest wait for a turn (default: 60000)" },
  { name: "requestTimeout", kind: "number", value: "ms", help: "a request must have come by then (default: 30000)" },
  { name: "generationTimeout", kind: "number", value: "ms", help: "longest time for an answer (default: 600000)" },
  { name: "stallTimeout", kind: "number", value: "ms", help: "cuts off clients that stop reading (default: 30000)" },
  { name: "drainTimeout", kind: "number", value: "ms", help: "time to finish streams on SIGTERM (default: 60000)" },
  { name: "idleUnload", kind: "number", value: "ms", help: "unload models unused for so long; 0: never (default: 0)" },
  { name: "page", kind: "switch", help: "serve the chat page and the dashboard (default: true)" },
  { name: "logLevel", kind: "text", value: "level", help: `${LOG_LEVELS.join(", ")} (default: info)` },
  { name: "logPrompts", kind: "switch", help: "write prompts to the log (default: false)" },
];

/** Settings of one place, not merged yet. */
export interface Config extends Omit<ServerOptions, "tls"> {
  apiKeysFile?: string;
  tlsCert?: string;
  tlsKey?: string;
}

/** "maxQueue" as `max-queue` or `MAX_QUEUE`. */
export function spelled(name: string, separator: "-" | "_"): string {
  const words = name.replace(/[A-Z]/g, (letter) => `${separator}${letter}`);
  return separator === "-" ? words.toLowerCase() : words.toUpperCase();
}

/** Splits `id=file`, or takes a file whose name is the id. */
export function modelArgument(value: string): ModelConfig {
  const parts = /^([^=/\\]+)=(.+)$/.exec(value);
  return parts?.[1] !== undefined && parts[2] !== undefined ? { id: parts[1], path: parts[2] } : { path: value };
}

/**
 * The settings that environment variables hold: `BITNET_PORT`, `BITNET_API_KEYS` (separated by commas),
 * `BITNET_MODELS` (`id=file`, separated by commas) and so on. Empty ones count as not set.
 * @throws InvalidOptionError
 */
export function configFromEnvironment(env: Readonly<Record<string, string | undefined>>): Config {
  const config: Record<string, unknown> = {};
  for (const { name, kind } of SETTINGS) {
    const variable = `BITNET_${spelled(name, "_")}`;
    const value = env[variable];
    if (value !== undefined && value !== "") config[name] = parseSetting(variable, kind, value);
  }
  if (env.BITNET_API_KEYS) config.apiKeys = splitList(env.BITNET_API_KEYS);
  if (env.BITNET_MODELS) config.models = splitList(env.BITNET_MODELS).map(modelArgument);
  return config;
}

/** @throws InvalidOptionError when the text is none of the kind */
export function parseSetting(source: string, kind: Setting["kind"], value: string): unknown {
  switch (kind) {
    case "number": {
      const parsed = Number(value);
      if (value.trim() !== "" && Number.isFinite(parsed)) return parsed;
      throw new InvalidOptionError(`${source} must be a number, not ${describe(value)}.`);
    }
    case "switch":
      if (["true", "1", "yes", "on"].includes(value.toLowerCase())) return true;
      if (["false", "0", "no", "off"].includes(value.toLowerCase())) return false;
      throw new InvalidOptionError(`${source} must be true or false, not ${describe(value)}.`);
    case "list":
      return splitList(value);
    case "text":
      return value;
  }
}

/**
 * Reads a JSON file of settings: the names of `ServerOptions`, and `apiKeysFile`, `tlsCert`, `tlsKey`. Paths in it are
 * relative to it.
 * @throws FileError, InvalidOptionError
 */
export async function readConfigFile(path: string): Promise<Config> {
  let parsed: unknown;
  const content = await readText(path);
  try {
    parsed = JSON.parse(content);
  } catch (error) {
    throw new InvalidOptionError(`"${path}" is no JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new InvalidOptionError(`"${path}" must be a JSON object.`);
  }
  const names = [...SETTINGS.map(({ name }) => name as string), "models", "apiKeys"];
  for (const name of Object.keys(parsed)) {
    if (!names.includes(name)) {
      throw new InvalidOptionError(`"${path}": unknown setting "${name}".${suggestion(name, names)}`);
    }
  }
  return withPathsFrom(dirname(resolve(path)), parsed);
}

function withPathsFrom(folder: string, config: Config): Config {
  const resolved: Config = { ...config };
  for (const name of ["apiKeysFile", "tlsCert", "tlsKey"] as const) {
    const value = config[name];
    if (typeof value === "string") resolved[name] = resolve(folder, value);
  }
  if (Array.isArray(config.models)) {
    resolved.models = config.models.map((model: ModelConfig) =>
      typeof model.path === "string" ? { ...model, path: resolve(folder, model.path) } : model,
    );
  }
  return resolved;
}

/**
 * Merges settings, those that come first going before the others, and reads the files they name.
 * @throws FileError, InvalidOptionError
 */
export async function mergeConfigs(configs: readonly Config[]): Promise<ServerOptions> {
  const merged = configs.toReversed().reduce<Config>((below, above) => ({ ...below, ...withoutUndefined(above) }), {});
  const { apiKeysFile, tlsCert, tlsKey, ...options } = merged;
  checkOptions("serve", { apiKeysFile, tlsCert, tlsKey }, { apiKeysFile: text(), tlsCert: text(), tlsKey: text() });
  if (apiKeysFile !== undefined) {
    const given = listOf(text())("apiKeys", options.apiKeys ?? []);
    options.apiKeys = [...given, ...(await readKeys(apiKeysFile))];
  }
  if (tlsCert === undefined && tlsKey === undefined) return options;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new InvalidOptionError("HTTPS takes both files: --tls-cert and --tls-key.");
  }
  return { ...options, tls: { cert: tlsCert, key: tlsKey } };
}

/** A key file that holds none would open the server to everybody. */
async function readKeys(path: string): Promise<string[]> {
  const lines = (await readText(path)).split(/\r?\n/).map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length > 0) return keys;
  throw new InvalidOptionError(`"${path}" has no keys; write one a line, or leave the setting out.`);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`Cannot read "${path}": ${(error as Error).message}`, { cause: error });
  }
}

function withoutUndefined(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

function splitList(value: string): string[] {
  return value
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}
