import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Where Linux shows the processor's energy counters (RAPL). On most systems only root may read them. */
const POWERCAP = "/sys/class/powercap";

interface Zone {
  file: string;
  /** Microjoules at which the counter starts again from 0. */
  range: number;
}

/** Energy counters of the processor packages, and of the memory where it has some of its own. */
export class EnergyMeter {
  private constructor(private readonly zones: readonly Zone[]) {}

  /** The meter of this machine, or undefined where there is none that this process may read. */
  static async open(root = POWERCAP): Promise<EnergyMeter | undefined> {
    const zones: Zone[] = [];
    try {
      for (const entry of (await readdir(root)).sort()) {
        // Zones below a package lie beside it: "intel-rapl:0" and "intel-rapl:0:1". Other drivers repeat the same counters.
        if (!/^intel-rapl:\d+(:\d+)?$/.test(entry)) continue;
        const name = (await readFile(join(root, entry, "name"), "utf8")).trim();
        // A package's counter includes its cores; memory counts apart; "psys" is the whole board, packages included.
        if (!name.startsWith("package") && name !== "dram") continue;
        const range = Number(await readFile(join(root, entry, "max_energy_range_uj"), "utf8"));
        const zone = { file: join(root, entry, "energy_uj"), range };
        await readMicrojoules(zone);
        zones.push(zone);
      }
    } catch {
      // Absent, or not for this user. A part of the counters would be a wrong sum.
      return undefined;
    }
    return zones.length > 0 ? new EnergyMeter(zones) : undefined;
  }

  /** Joules that the machine takes while `work` runs, idle power included, and how long it ran. */
  async measure<T>(work: () => Promise<T>): Promise<{ result: T; joules: number; seconds: number }> {
    const before = await this.read();
    const start = process.hrtime.bigint();
    const result = await work();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const after = await this.read();
    let microjoules = 0;
    for (const [i, { range }] of this.zones.entries()) {
      const difference = (after[i] ?? 0) - (before[i] ?? 0);
      microjoules += difference >= 0 ? difference : difference + range;
    }
    return { result, joules: microjoules / 1e6, seconds };
  }

  private read(): Promise<number[]> {
    return Promise.all(this.zones.map(readMicrojoules));
  }
}

async function readMicrojoules({ file }: Zone): Promise<number> {
  const value = Number(await readFile(file, "utf8"));
  if (!Number.isFinite(value)) throw new Error(`${file} holds no number`);
  return value;
}
