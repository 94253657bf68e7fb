/** Generations that are held to the twenty schemas, judged by ajv. */
import { Ajv2020 } from "ajv/dist/2020";
import addFormats from "ajv-formats";
import type { Model } from "../../lib";
import { SCHEMAS } from "./json_schemas";

/** What became of some runs. */
export interface SchemaRuns {
  runs: number;
  valid: number;
  /** Texts that are not valid, or why there is none. */
  failures: string[];
  tokens: number;
  /** Runs of each schema. */
  bySchema: Record<string, number>;
}

/** Run i takes schema i, turn about, and seed i; temperatures and samplers vary. */
export async function runSchemas(model: Model, runs: number, atATime = 16): Promise<SchemaRuns> {
  const ajv = new Ajv2020({ strict: false });
  addFormats(ajv);
  const entries = Object.entries(SCHEMAS).map(([name, schema]) => ({ name, schema, validate: ajv.compile(schema) }));
  const result: SchemaRuns = { runs, valid: 0, failures: [], tokens: 0, bySchema: {} };
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let run = next++; run < runs; run = next++) {
      const { name, schema, validate } = entries[run % entries.length]!;
      const sampling = [
        {},
        { temperature: 1.5 },
        { temperature: 2, topK: 0, topP: 1, minP: 0 },
        { temperature: 0.3, repetitionPenalty: 1.1 },
      ];
      result.bySchema[name] = (result.bySchema[name] ?? 0) + 1;
      try {
        const options = {
          schema,
          seed: run,
          maxTokens: 400,
          ...sampling[Math.floor(run / entries.length) % sampling.length],
        };
        const { value, text, usage } = await model.generate(`The ${name} as JSON: `, options);
        result.tokens += usage.completionTokens;
        if (JSON.stringify(value) === JSON.stringify(JSON.parse(text)) && validate(value)) result.valid++;
        else result.failures.push(`${name}, seed ${run}: ${text}: ${ajv.errorsText(validate.errors)}`);
      } catch (error) {
        result.failures.push(`${name}, seed ${run}: ${String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return result;
}
