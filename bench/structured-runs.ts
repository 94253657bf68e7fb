/**
 * How many texts that the bundled model writes under twenty JSON schemas are valid by ajv:
 * `node -r @swc-node/register bench/structured-runs.ts [--runs 1000]`
 *
 * Exits with 1 when one is not. A part of the runs is in the tests.
 */
import { parseArgs } from "node:util";
import { Model } from "../lib";
import { runSchemas } from "../test/helpers/schema_runs";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { runs: { type: "string", default: "1000" } } });
  await using model = await Model.load();
  const started = performance.now();
  const { runs, valid, failures, tokens, bySchema } = await runSchemas(model, Number(values.runs));
  const seconds = (performance.now() - started) / 1000;
  for (const failure of failures) console.log(failure);
  console.log(
    `${valid} of ${runs} valid; ${Object.keys(bySchema).length} schemas, ${tokens} tokens, ${seconds.toFixed(0)} s`,
  );
  process.exitCode = valid === runs ? 0 : 1;
}

void main();
