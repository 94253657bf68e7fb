/**
 * Decode speed of texts that are held to a JSON schema beside that of free ones, in turns (medians), how long the event loop is
 * held meanwhile, and how much of the time masks take:
 *
 *   node -r @swc-node/register bench/structured-speed.ts [model.gguf] [streams] [tokens] [rounds]
 *
 * Texts that are held say other things than free ones, and with a mask the output head looks for candidates among fewer
 * tokens, so the times themselves don't tell what masks cost. The time in them does: making them, and following the text.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type GenerationOptions, Model } from "../lib";
import { Constraint } from "../lib/generation/structured";

const [path, streams = "1", tokens = "48", rounds = "3"] = process.argv.slice(2);

/** Never complete within the tokens of a run: names, numbers, choices and texts. */
const SCHEMA = {
  type: "array",
  minItems: 40,
  items: {
    type: "object",
    properties: {
      name: { type: "string", minLength: 4, maxLength: 30 },
      age: { type: "integer", minimum: 0, maximum: 130 },
      kind: { enum: ["person", "animal", "thing"] },
      note: { type: "string" },
      tags: { type: "array", items: { type: "string", pattern: "^[a-z]{2,12}$" }, minItems: 1, maxItems: 5 },
    },
    required: ["name", "age", "kind", "note", "tags"],
  },
};

/** What was spent in masks so far. */
const masks = { milliseconds: 0, count: 0 };

/** Counts the time of a method of all constraints from here on. */
function watch(name: "mask" | "accept"): void {
  const prototype = Constraint.prototype as unknown as Record<string, (token: number) => unknown>;
  const method = prototype[name]!;
  prototype[name] = function (token) {
    const started = performance.now();
    const result = method.call(this, token);
    masks.milliseconds += performance.now() - started;
    if (name === "accept") masks.count++;
    return result;
  };
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
}

/** Milliseconds for each token of a stream behind its first. */
async function perToken(model: Model, options: GenerationOptions): Promise<number> {
  const times = await Promise.all(
    Array.from({ length: Number(streams) }, async (_, seed) => {
      const seen: number[] = [];
      const own = { ...options, seed, maxTokens: Number(tokens), ignoreEos: true, speculation: "off" } as const;
      for await (const chunk of model.stream(`Data ${seed}:`, own)) {
        seen.push(...chunk.tokens.map(() => performance.now()));
      }
      return ((seen.at(-1) ?? 0) - (seen[0] ?? 0)) / (seen.length - 1);
    }),
  );
  return median(times);
}

async function main(): Promise<void> {
  watch("mask");
  watch("accept");
  await using model = await Model.load(path);
  const format = { type: "json_schema", schema: SCHEMA } as const;
  const kinds: Record<string, GenerationOptions> = { free: {}, "held to a schema": { format } };
  const found: Record<string, number[]> = { free: [], "held to a schema": [] };
  await perToken(model, {});
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, options] of Object.entries(kinds)) {
      const held = monitorEventLoopDelay({ resolution: 1 });
      held.enable();
      const ms = await perToken(model, options);
      held.disable();
      found[name]!.push(ms);
      const longest = (held.max / 1e6 - 1).toFixed(1);
      console.log(`${name}: ${ms.toFixed(2)} ms a token, the event loop held for at most ${longest} ms`);
    }
  }
  const [free = NaN, constrained = NaN] = Object.values(found).map(median);
  console.log(`${streams} streams: ${(100 * (constrained / free - 1)).toFixed(1)} % more time with a schema`);
  const { milliseconds, count } = masks;
  // A step makes the masks of all its texts.
  const share = ((milliseconds / count) * Number(streams)) / free;
  console.log(
    `masks: ${(milliseconds / count).toFixed(3)} ms a token, ${(100 * share).toFixed(1)} % of a step's time without a schema`,
  );
}

void main();
