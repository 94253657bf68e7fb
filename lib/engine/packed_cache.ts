import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { LoadOptions, ModelSpec, NativeModel, NativeTask } from "../../types/addon";
import { makeRoom, packedFolder, packedPath, touchPacked } from "../files/packed_folder";
import { memorySize } from "./memory";

/** See `ModelOptions.packedCache`. */
export type PackedCacheOption = boolean | string;

/** Most bytes of all packed weights in a folder, unless BITNET_PACKED_CACHE_SIZE says otherwise. */
const DEFAULT_LIMIT = 20 * 2 ** 30;

/** What packed files keep, for warnings. */
const WEIGHTS = "Packed weights";

/** After loading, writing waits this long, so that it does not slow down the first text. */
const WRITE_AFTER_MS = 3000;

/** The same for copying mapped weights into memory, after which decoding is faster. */
const TAKE_IN_AFTER_MS = 500;

/**
 * The folder that an option or the environment names; undefined: nothing is kept. Without either, nothing is, unless
 * `needed`: unasked, nobody finds as many bytes as the model has on the disk a second time.
 */
export function packedCacheFolder(option: PackedCacheOption | undefined, needed: boolean): string | undefined {
  const variable = process.env.BITNET_PACKED_CACHE ?? "";
  const wanted = option ?? (variable === "0" ? false : variable === "" ? needed : variable === "1" ? true : variable);
  if (wanted === false) return undefined;
  return wanted === true ? packedFolder() : wanted;
}

/** What a model's packed weights depend on, as far as TypeScript knows; the native side adds the layouts. */
export async function packedCache(
  spec: ModelSpec,
  packing: Pick<LoadOptions, "kernel" | "sparsity" | "head">,
  where: { folder: string | undefined; version: string; bytes: number; mapped: boolean; residentBytes: number },
): Promise<LoadOptions["cache"]> {
  const { folder, version, bytes, mapped, residentBytes } = where;
  if (folder === undefined) return undefined;
  const { files, ...shape } = spec;
  try {
    const sizes = await Promise.all(
      files.map(async (file) => {
        const { size, mtimeNs } = await stat(file, { bigint: true });
        return [size.toString(), mtimeNs.toString()];
      }),
    );
    const path = packedPath(folder, hash([files, packing]).slice(0, 32));
    const key = `node-bitnet ${version} model ${hash([shape, sizes, packing])}`;
    const problem = mapped ? await makeRoom(folder, path, bytes, packedLimit()) : undefined;
    if (problem !== undefined) warnNotKept(WEIGHTS, `${problem}.`);
    return { path, key, mapped, residentBytes };
  } catch (error) {
    warnNotKept(WEIGHTS, error);
    return undefined;
  }
}

/** What a model still has to do with the packed cache once it is loaded. */
export interface CacheWork {
  /** Comes to an end before the model is closed. Never rejects. */
  end(): Promise<void>;
}

/** A file of the packed cache that is still to be written. */
export interface CacheFile {
  readonly path: string;
  /** What it keeps, for warnings. */
  readonly what: string;
  readonly bytes: number;
  write(): Promise<void>;
}

/** Writes a file once the model has been loaded for a while, or when it is closed before. */
export class CacheFileKeeper implements CacheWork {
  private readonly timer: NodeJS.Timeout;
  private writing: Promise<void> | undefined;

  constructor(private readonly file: CacheFile) {
    this.timer = setTimeout(() => void this.end(), WRITE_AFTER_MS);
    this.timer.unref();
  }

  /** Resolves when the file is written, or could not be, which is told in a warning. */
  end(): Promise<void> {
    clearTimeout(this.timer);
    this.writing ??= this.write();
    return this.writing;
  }

  private async write(): Promise<void> {
    const { file } = this;
    try {
      const problem = await makeRoom(dirname(file.path), file.path, file.bytes, packedLimit());
      if (problem === undefined) await file.write();
      else warnNotKept(file.what, `${problem}.`);
    } catch (error) {
      warnNotKept(file.what, error);
    }
  }
}

/** Has weights that are used in the packed file copied into memory, when the model has been loaded for a moment. */
export class PackedWeightsMover implements CacheWork {
  private readonly timer: NodeJS.Timeout;
  private task: NativeTask<void> | undefined;
  private moved: Promise<void> | undefined;

  constructor(private readonly native: Pick<NativeModel, "takeIn">) {
    this.timer = setTimeout(() => this.start(), TAKE_IN_AFTER_MS);
    this.timer.unref();
  }

  async end(): Promise<void> {
    clearTimeout(this.timer);
    this.task?.cancel();
    await this.moved;
  }

  private start(): void {
    try {
      this.task = this.native.takeIn();
      // Where memory is short, the weights are used where they are; a file that was damaged ends the requests as well.
      this.moved = this.task.promise.catch(() => undefined);
    } catch {
      // No thread is left for it: the same.
    }
  }
}

/** Several as one. */
export function allOf(works: readonly (CacheWork | undefined)[]): CacheWork {
  return {
    async end() {
      for (const work of works) await work?.end();
    },
  };
}

/** Keeps a file that was used from being the first to go and has its weights moved, or has it written. */
export function keepPacked(native: NativeModel, cache: LoadOptions["cache"]): CacheWork | undefined {
  if (!cache) return undefined;
  if (!native.fromCache) {
    const { path } = cache;
    return new CacheFileKeeper({
      path,
      what: WEIGHTS,
      bytes: native.packedBytes,
      write: () => native.writeCache().promise,
    });
  }
  void touchPacked(cache.path);
  return cache.mapped ? undefined : new PackedWeightsMover(native);
}

function packedLimit(): number {
  const { BITNET_PACKED_CACHE_SIZE: size = "" } = process.env;
  return size === "" ? DEFAULT_LIMIT : memorySize("BITNET_PACKED_CACHE_SIZE", size);
}

function hash(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}

/** Tells why the next load will take as long. */
function warnNotKept(what: string, reason: unknown): void {
  const why = reason instanceof Error ? reason.message : String(reason);
  process.emitWarning(`${what} are not kept: ${why}`, { code: "BITNET_PACKED_CACHE" });
}
