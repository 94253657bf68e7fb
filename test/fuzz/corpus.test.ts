/** Every input of the corpus, and a few new ones of each target with a fixed seed. `npm run fuzz` tries far more. */
import * as fc from "fast-check";
import { corpusOf } from "./corpus";
import { targets } from "./targets";

jest.setTimeout(300_000);

/** Targets whose inputs cost more than a few milliseconds get fewer. */
const RUNS: Readonly<Record<string, number>> = {
  "tokenizer-json": 6,
  model: 10,
  state: 40,
  "packed-cache": 25,
  addon: 15,
  http: 25,
  gguf: 40,
  safetensors: 40,
};

describe.each(targets.map((target) => [target.name, target] as const))("%s", (name, target) => {
  afterAll(() => target.close?.());

  const kept = corpusOf(name);
  if (kept.length > 0) {
    test.each(kept.map(({ name: file, input }) => [file, input]))("corpus: %s", async (_file, input) => {
      await target.check(input);
    });
  }

  test("new inputs", async () => {
    await fc.assert(
      fc.asyncProperty(target.inputs, async (input) => target.check(input)),
      {
        seed: 42,
        numRuns: RUNS[name] ?? 100,
        endOnFailure: true,
      },
    );
  });
});
