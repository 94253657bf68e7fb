import { basename } from "node:path";
import { BUNDLED_MODEL_PATH } from "../files/bundled";
import type { ModelOptions } from "../engine";
import { Model } from "../model";
import { ApiError, toApiError } from "./api_error";
import { modelBackend, type Backend } from "./backend";

/** A model to be served: a file that is loaded when it is asked for, or one that is loaded already. */
export interface ModelConfig extends Omit<ModelOptions, "signal" | "onProgress"> {
  /** The name that clients give. Default: the file's name without ".gguf". */
  id?: string;
  /** More names for it. */
  aliases?: readonly string[];
  /** GGUF file. Default: the model that ships with the package. */
  path?: string;
  /** Name of a built-in chat template or Jinja source. Default: the model's own. */
  template?: string;
  /** Loads when the server starts, and is never unloaded. Default: true for the first model. */
  preload?: boolean;
  /** A model that was loaded by the caller, who also closes it. */
  model?: Model;
  /** In place of `model`: anything that generates. */
  backend?: Backend;
}

/** A model as `/v1/models` and the dashboard show it. */
export interface ModelStatus {
  id: string;
  aliases: readonly string[];
  state: "unloaded" | "loading" | "loaded";
  /** Requests that use it. */
  users: number;
  backend: Backend | undefined;
}

/** The right to use a backend until `release` is called. */
export interface Lease {
  id: string;
  backend: Backend;
  release: () => void;
}

interface Entry {
  readonly id: string;
  readonly config: ModelConfig;
  readonly preload: boolean;
  /** Closed by whoever gave it. */
  readonly foreign: boolean;
  backend: Backend | undefined;
  loading: Promise<Backend> | undefined;
  users: number;
  idleTimer: NodeJS.Timeout | undefined;
}

/** Told of loads and unloads, for the log. */
export interface RegistryEvents {
  loaded?: (id: string, milliseconds: number) => void;
  unloaded?: (id: string) => void;
  failed?: (id: string, error: unknown) => void;
}

/** The models of a server: loads them when they are asked for, once, and unloads those that idle. */
export class ModelRegistry {
  /** When the registry was made, in Unix seconds: what `/v1/models` gives as `created`. */
  readonly created = Math.floor(Date.now() / 1000);
  private readonly entries: readonly Entry[];
  private readonly byName = new Map<string, Entry>();
  private closed = false;

  /**
   * @param idleUnloadMs time without requests after which a model is unloaded; 0: never
   * @throws Error when two models have one name
   */
  constructor(
    configs: readonly ModelConfig[],
    private readonly idleUnloadMs: number,
    private readonly events: RegistryEvents = {},
  ) {
    this.entries = configs.map((config, i) => makeEntry(config, i === 0));
    for (const entry of this.entries) {
      for (const name of [entry.id, ...(entry.config.aliases ?? [])]) {
        if (this.byName.has(name)) throw new Error(`Two models are called "${name}"; give one of them another id.`);
        this.byName.set(name, entry);
      }
    }
  }

  /** All models in the order of the configuration. */
  list(): ModelStatus[] {
    return this.entries.map(({ id, config, backend, loading, users }) => ({
      id,
      aliases: config.aliases ?? [],
      state: backend ? "loaded" : loading ? "loading" : "unloaded",
      users,
      backend,
    }));
  }

  /** Whether all models that load at the start are loaded. */
  get ready(): boolean {
    return this.entries.every(({ preload, backend }) => !preload || backend !== undefined);
  }

  /** Loads what shall be loaded at the start. Rejects with the first failure. */
  async preload(): Promise<void> {
    for (const entry of this.entries) if (entry.preload) await this.backendOf(entry);
  }

  /** @throws ApiError 404 for an unknown name */
  status(name: string): ModelStatus {
    const entry = this.find(name);
    const found = this.list().find(({ id }) => id === entry.id);
    if (!found) throw notFound(name);
    return found;
  }

  /**
   * The model of a name, loaded; without a name, the first. It stays loaded until the lease is released.
   * @throws ApiError 404 for an unknown name, 500 or 503 when it cannot be loaded
   */
  async acquire(name: string | undefined): Promise<Lease> {
    const entry = name === undefined ? this.entries[0] : this.find(name);
    if (!entry) throw notFound(name ?? "");
    entry.users++;
    clearTimeout(entry.idleTimer);
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      entry.users--;
      this.unloadLater(entry);
    };
    try {
      return { id: entry.id, backend: await this.backendOf(entry), release };
    } catch (error) {
      release();
      const { status, code } = toApiError(error);
      throw new ApiError(status === 503 ? 503 : 500, `The model '${entry.id}' could not be loaded.`, {
        code: status === 503 && code !== undefined ? code : "model_load_failed",
        cause: error,
      });
    }
  }

  /** Unloads everything; requests that are under way end with an error. */
  async close(): Promise<void> {
    this.closed = true;
    for (const entry of this.entries) {
      clearTimeout(entry.idleTimer);
      if (entry.foreign) continue;
      const backend = entry.backend ?? (await entry.loading?.catch(() => undefined));
      entry.backend = undefined;
      await backend?.close();
    }
  }

  private find(name: string): Entry {
    const entry = this.byName.get(name);
    if (!entry) throw notFound(name);
    return entry;
  }

  private backendOf(entry: Entry): Promise<Backend> {
    if (entry.backend) return Promise.resolve(entry.backend);
    // A failure is forgotten, so that the next request tries again.
    entry.loading ??= this.load(entry).finally(() => (entry.loading = undefined));
    return entry.loading;
  }

  private async load(entry: Entry): Promise<Backend> {
    const {
      id: _id,
      aliases: _aliases,
      path,
      template,
      preload: _preload,
      model: _m,
      backend: _b,
      ...options
    } = entry.config;
    const started = performance.now();
    try {
      const backend = modelBackend(await Model.load(path, options), template);
      if (this.closed) await backend.close();
      else entry.backend = backend;
      this.events.loaded?.(entry.id, performance.now() - started);
      return backend;
    } catch (error) {
      this.events.failed?.(entry.id, error);
      throw error;
    }
  }

  private unloadLater(entry: Entry): void {
    if (entry.users > 0 || entry.preload || entry.foreign || this.idleUnloadMs === 0 || this.closed) return;
    entry.idleTimer = setTimeout(() => {
      const { backend } = entry;
      if (entry.users > 0 || !backend) return;
      entry.backend = undefined;
      void backend.close().then(() => this.events.unloaded?.(entry.id));
    }, this.idleUnloadMs);
    entry.idleTimer.unref();
  }
}

function makeEntry(config: ModelConfig, first: boolean): Entry {
  const { model, backend } = config;
  const foreign = model !== undefined || backend !== undefined;
  return {
    id: config.id ?? defaultId(config.path ?? model?.info.path ?? BUNDLED_MODEL_PATH),
    config,
    preload: foreign || (config.preload ?? first),
    foreign,
    backend: backend ?? (model && modelBackend(model, config.template)),
    loading: undefined,
    users: 0,
    idleTimer: undefined,
  };
}

/** The name of a model whose file lies at `path`, unless it is given another. */
export function defaultId(path: string): string {
  return basename(path).replace(/\.gguf$/i, "");
}

function notFound(name: string): ApiError {
  const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name;
  return new ApiError(404, `The model '${shown}' does not exist.`, { param: "model", code: "model_not_found" });
}
