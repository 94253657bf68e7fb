import type { KernelBenchResult, MatrixShape } from "../../types/addon";
import type { EnergyMeter } from "./energy";
import type { KernelProduct } from "./kernels";

/** Energy for the matrices of one token, weights from memory, of the whole machine as its counters tell. */
export interface KernelEnergy {
  kernel: string;
  threads: number;
  /** Idle power included. */
  joulesPerToken: number;
  /** Without the power that the machine takes when it does nothing. */
  joulesPerTokenAboveIdle: number;
  /** Power while nothing is asked of the machine. */
  idleWatts: number;
}

const IDLE_MILLISECONDS = 1000;
const SHORT_MILLISECONDS = 300;
const LONG_MILLISECONDS = 900;

/** Runs a kernel on a shape for a time. */
export type EnergyRun = (kernel: string, shape: MatrixShape, milliseconds: number) => Promise<KernelBenchResult>;

/**
 * Measures each kernel twice, for a short and for a longer time: what both do to get ready falls out of the difference,
 * which is products and nothing else.
 */
export async function measureEnergy(
  meter: EnergyMeter,
  products: readonly KernelProduct[],
  threads: number,
  run: EnergyRun,
): Promise<KernelEnergy[]> {
  const idle = await meter.measure(() => new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS)));
  const idleWatts = idle.joules / idle.seconds;
  const energies: KernelEnergy[] = [];
  for (const name of new Set(products.map(({ kernel }) => kernel.name))) {
    let joulesPerToken = 0;
    let secondsPerToken = 0;
    for (const { shape } of products.filter(({ kernel }) => kernel.name === name)) {
      const short = await meter.measure(() => run(name, shape, SHORT_MILLISECONDS));
      const long = await meter.measure(() => run(name, shape, LONG_MILLISECONDS));
      const products = productsOf(long.result) - productsOf(short.result);
      joulesPerToken += ((long.joules - short.joules) / products) * shape.count;
      secondsPerToken += ((long.seconds - short.seconds) / products) * shape.count;
    }
    const joulesPerTokenAboveIdle = joulesPerToken - idleWatts * secondsPerToken;
    energies.push({ kernel: name, threads, joulesPerToken, joulesPerTokenAboveIdle, idleWatts });
  }
  return energies;
}

/** Whole products: a kernel so slow that a part of the rows is timed counts by its time. */
function productsOf({ times }: KernelBenchResult): number {
  return times.reduce((sum, { spentMicroseconds, microseconds }) => sum + spentMicroseconds / microseconds, 0);
}
