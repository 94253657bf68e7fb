import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type {
  Addon,
  FormatInfo,
  GroupScales,
  MatrixShape,
  ModelSpec,
  TensorRef,
  TuneMeasurement,
} from "../../types/addon";
import { writeFileAtomically } from "../files/atomic_file";
import { cacheFolder } from "../files/cache_folder";
import { onAbort } from "./abort";

/** Models with less packed weights than this stay in the caches of most machines: nothing is tuned for them. */
const SMALLEST_TUNED_BYTES = 32 * 2 ** 20;

/** Most memory that tuning takes at a time; less for models that are smaller than that. */
const MOST_MEMORY = 384 * 2 ** 20;

/** Which kernel runs a model, and how far ahead it prefetches; absent: the native side's default. */
export interface KernelChoice {
  kernel: string;
  /** In bytes. */
  prefetch?: number;
}

/** What a choice is made from. */
export interface TuneOptions {
  threads: number;
  /** What the user asked for; anything but "auto" is taken as it is. */
  kernel: string;
  /** Whether kernels may be timed. */
  tune: boolean;
  /** Most memory that the model may take, in bytes. */
  memoryLimit: number | undefined;
  signal: AbortSignal | undefined;
  onProgress: (share: number) => void;
}

type TuningAddon = Pick<Addon, "version" | "cpu" | "kernels" | "formats" | "tune">;

/**
 * Chooses a model's kernel: the user's, else the one that was measured to be fastest on this machine for these shapes
 * and threads, now or by an earlier load. Results are the same bits with each.
 * @throws the native error when `signal` aborts the measurement
 */
export async function chooseKernel(
  addon: TuningAddon,
  spec: ModelSpec,
  options: TuneOptions,
  folder = cacheFolder(),
): Promise<KernelChoice> {
  const { kernel, threads } = options;
  if (kernel !== "auto" || !options.tune) return { kernel };
  const shapes = majority(matrixShapes(spec, addon));
  const bytes = bytesOf(shapes);
  const memoryBytes = Math.floor(Math.min(MOST_MEMORY, bytes, options.memoryLimit ?? Infinity));
  if (bytes < SMALLEST_TUNED_BYTES) return { kernel };

  const key = choiceKey(addon, shapes, threads);
  const file = join(folder, "kernels", `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  const known = await readChoice(file, key, addon);
  if (known) return known;

  const task = addon.tune({ shapes, threads, memoryBytes, onProgress: options.onProgress });
  const removeListener = onAbort(options.signal, () => task.cancel());
  try {
    const { kernel: fastest, prefetch, measurements } = await task.promise;
    const choice = { kernel: fastest, prefetch };
    await writeChoice(file, { key, ...choice, measurements });
    return choice;
  } finally {
    removeListener();
  }
}

/**
 * Formats that can hold ternary weights with one scale but whose models (Bonsai) have a scale per group. Only loading tells
 * for certain; a wrong guess costs speed, nothing else.
 */
const GROUPED_AS_A_RULE: readonly string[] = ["q1_0", "q2_0_g64", "q2_0_g128", "pq2_0", "ptq1_0"];

/** A model's matrices by shape, as the engine stacks them: q, k and v are one. */
export function matrixShapes(spec: ModelSpec, addon: Pick<Addon, "formats">): MatrixShape[] {
  const formats = new Map(addon.formats().map((format) => [format.name, format]));
  const counts = new Map<string, MatrixShape>();
  for (const { q, k, v, attnOutput, gate, up, down } of spec.layers) {
    const qkv = { ...q, rows: q.rows + k.rows + v.rows };
    for (const tensor of [qkv, attnOutput, gate, up, down]) {
      const format = formats.get(tensor.format);
      if (!format || (!format.ternary && !format.scales)) continue;
      const { rows, columns } = tensor;
      const scales = scalesOf(tensor, format);
      const name = JSON.stringify([rows, columns, scales]);
      const shape = counts.get(name) ?? { rows, columns, count: 0, ...(scales ? { scales } : {}) };
      counts.set(name, { ...shape, count: shape.count + 1 });
    }
  }
  return [...counts.values()];
}

function scalesOf({ gptq, columns }: TensorRef, format: FormatInfo): GroupScales | undefined {
  const { scales } = format;
  if (!scales || (format.ternary && !GROUPED_AS_A_RULE.includes(format.name))) return undefined;
  const group = gptq?.size ?? scales.group ?? columns;
  return { ...scales, group: Math.ceil(Math.min(group, columns) / 16) * 16 };
}

/** The ternary ones or those with scales by group, whichever take more memory: one kernel is chosen for them. */
function majority(shapes: readonly MatrixShape[]): MatrixShape[] {
  const grouped = shapes.filter(({ scales }) => scales);
  const ternary = shapes.filter(({ scales }) => !scales);
  return bytesOf(grouped) > bytesOf(ternary) ? grouped : ternary;
}

function bytesOf(shapes: readonly MatrixShape[]): number {
  return shapes.reduce(
    (sum, { rows, columns, count, scales }) => sum + (rows * columns * count * (scales?.bits ?? 2)) / 8,
    0,
  );
}

/** Everything that a choice depends on. The counts' ratios matter too: a model with more wide layers is another model. */
function choiceKey(addon: TuningAddon, shapes: readonly MatrixShape[], threads: number): string {
  const { arch, model, features, usableCpus, physicalCores } = addon.cpu();
  const available = addon.kernels().flatMap(({ name, available: runs }) => (runs ? [name] : []));
  return JSON.stringify({
    version: addon.version,
    cpu: { arch, model, features, usableCpus, physicalCores },
    kernels: available,
    threads,
    shapes,
  });
}

interface StoredChoice {
  /** The whole key, so that a file can be understood, and a clash of hashes told. */
  key: string;
  kernel: string;
  prefetch: number;
  measurements: TuneMeasurement[];
}

/** A stored choice, or undefined where there is none that can be used: absent, damaged, or of another machine. */
async function readChoice(file: string, key: string, addon: TuningAddon): Promise<KernelChoice | undefined> {
  try {
    const stored = JSON.parse(await readFile(file, "utf8")) as Partial<StoredChoice> | null;
    const { kernel, prefetch } = stored ?? {};
    const runs = addon.kernels().some(({ name, available }) => available && name === kernel);
    if (stored?.key !== key || !runs || kernel === undefined || !isPrefetch(prefetch)) return undefined;
    return { kernel, prefetch };
  } catch {
    return undefined;
  }
}

/** What earlier loads chose with this version, for reports: kernels with the number of threads each was measured with. */
export async function storedChoices(
  version: string,
  folder = cacheFolder(),
): Promise<{ kernel: string; threads: number }[]> {
  const kernels = join(folder, "kernels");
  const names = await readdir(kernels).catch(() => []);
  const choices = await Promise.all(
    names.map(async (name) => {
      try {
        const { kernel, key } = JSON.parse(await readFile(join(kernels, name), "utf8")) as StoredChoice;
        const { version: measured, threads } = JSON.parse(key) as { version: string; threads: number };
        return measured === version ? [{ kernel, threads }] : [];
      } catch {
        return []; // Damaged, or another program's file.
      }
    }),
  );
  return choices.flat();
}

function isPrefetch(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 2 ** 20;
}

/** Keeps a choice for the next load. Where the folder cannot be written, the next load measures again. */
async function writeChoice(file: string, choice: StoredChoice): Promise<void> {
  try {
    await writeFileAtomically(file, async (handle) => {
      await handle.writeFile(`${JSON.stringify(choice, null, 2)}\n`);
    });
  } catch {
    // A read-only home is no reason to fail.
  }
}
