/**
 * Fuzzes one target for some seconds: run.ts <target> <seconds> <seed> [grow]. Prints what was tried; a finding is shrunk,
 * kept in the corpus and ends the run with exit code 1. "grow": also keeps sound inputs that reach code which none before
 * them did. scripts/fuzz.mjs runs all targets and watches for hangs.
 */
import * as fc from "fast-check";
import { corpusOf, keep } from "./corpus";
import { startCoverage, startGrowth } from "./coverage";
import type { Target } from "./target";
import { targets } from "./targets";

/** Milliseconds that one input may take, on a busy machine too. */
const SLOW_MS = 10_000;
/** Characters of an input's JSON up to which it is kept for what it reaches. */
const SMALL = 3000;

function targetOf(name: string): Target {
  const target = targets.find((each) => each.name === name);
  if (target) return target;
  throw new Error(`There is no target "${name}"; there are ${targets.map((each) => each.name).join(", ")}.`);
}

async function main(name: string, seconds: number, seed: number): Promise<void> {
  const target = targetOf(name);
  const coverage = await startCoverage();
  let tried = 0;
  const check = async (input: unknown): Promise<void> => {
    // For the parent, in case that this input hangs or crashes the process.
    process.send?.({ input });
    tried++;
    const started = performance.now();
    await target.check(input);
    const took = performance.now() - started;
    if (took > SLOW_MS) throw new Error(`It took ${Math.round(took)} ms`);
  };
  for (const { name: file, input } of corpusOf(name)) {
    await check(input).catch((error: unknown) => fail(`corpus/${name}/${file}: ${describe(error)}`));
  }
  const details = await fc.check(fc.asyncProperty(target.inputs, check), {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    maxSkipsPerRun: 1,
  });
  if (details.failed && details.counterexample) {
    const kept = keep(name, details.counterexample[0]);
    fail(
      `${describe(details.errorInstance)}\n  input kept as ${kept} (seed ${details.seed}, path ${details.counterexamplePath})`,
    );
  }
  const { functions, ran, files } = await coverage(target.covers);
  await target.close?.();
  const share = Math.round((100 * ran) / Math.max(1, functions));
  console.log(`${name}: ${tried} inputs, ${ran} of ${functions} functions (${share} %) of ${files} files ran`);
  process.exit(process.exitCode ?? 0);
}

/** Adds to the corpus; what is there already is looked at first. */
async function grow(name: string, seconds: number, seed: number): Promise<void> {
  const target = targetOf(name);
  const grown = await startGrowth(target.covers);
  for (const { input } of corpusOf(name)) {
    await target.check(input);
    await grown();
  }
  let tried = 0;
  let kept = 0;
  const check = async (input: unknown): Promise<void> => {
    process.send?.({ input });
    tried++;
    await target.check(input);
    if (JSON.stringify(input).length > SMALL || !(await grown())) return;
    keep(name, input);
    kept++;
  };
  await fc.assert(fc.asyncProperty(target.inputs, check), {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
  });
  await target.close?.();
  console.log(`${name}: ${kept} of ${tried} inputs kept`);
  process.exit();
}

function fail(message: string): void {
  console.error(`FINDING ${message}`);
  process.exitCode = 1;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const [name = "", seconds = "10", seed = "1", purpose] = process.argv.slice(2);
void (purpose === "grow" ? grow : main)(name, Number(seconds), Number(seed));
