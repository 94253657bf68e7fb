/** Kinds of requests that a soak sends, one function each. An error is a finding unless the request asked for it. */
import type { Model } from "../../lib";
import { AbortError } from "../../lib";

/** What is sent to, and how chance is drawn. */
export interface Traffic {
  model: Model;
  /** Uniform in [0, 1). */
  random: () => number;
}

type Kind = (traffic: Traffic) => Promise<void>;

const WORDS = "the old king gave his daughter a golden ring and she went into the dark wood where nobody lived".split(
  " ",
);

const pick = (random: () => number, most: number): number => Math.floor(random() * most);

function prompt(random: () => number, words: number): string {
  return Array.from({ length: 1 + pick(random, words) }, () => WORDS[pick(random, WORDS.length)]).join(" ");
}

/** Settings of every kind of sampling. */
function sampling(random: () => number): object {
  const kinds = [
    { temperature: 0 },
    { temperature: 1.2, topP: 0.9 },
    { topK: 20, repetitionPenalty: 1.1 },
    { minP: 0.1 },
  ];
  return { ...kinds[pick(random, kinds.length)], seed: pick(random, 1000) };
}

/** Lets only the errors pass that an abort brings. */
async function aborted(run: Promise<unknown>): Promise<void> {
  await run.catch((error: unknown) => {
    if (!(error instanceof AbortError)) throw error;
  });
}

export const KINDS: Readonly<Record<string, Kind>> = {
  generate: async ({ model, random }) => {
    await model.generate(prompt(random, 40), { maxTokens: 1 + pick(random, 60), ...sampling(random) });
  },
  stop: async ({ model, random }) => {
    await model.generate(prompt(random, 10), { maxTokens: 60, stop: [" the", "."], ...sampling(random) });
  },
  stream: async ({ model, random }) => {
    let left = pick(random, 40);
    for await (const chunk of model.stream(prompt(random, 60), { maxTokens: 80 }))
      if (left-- <= 0 || chunk.tokens.length > 100) break;
  },
  chat: async ({ model, random }) => {
    const chat = model.chat({ system: prompt(random, 5) });
    try {
      for (let turn = 0; turn < 3; turn++) await chat.ask(prompt(random, 12), { maxTokens: 20 });
    } finally {
      chat.close();
    }
  },
  embed: async ({ model, random }) => {
    await model.embed([prompt(random, 30), prompt(random, 3)]);
  },
  score: async ({ model, random }) => {
    await model.score(prompt(random, 20), ` ${prompt(random, 6)}`);
  },
  samples: async ({ model, random }) => {
    await model.generateSamples(prompt(random, 20), 3, { maxTokens: 16 });
  },
  schema: async ({ model, random }) => {
    const schema = {
      type: "object",
      properties: { a: { enum: ["x", "y"] }, b: { type: "boolean" } },
      required: ["a", "b"],
    };
    await model.generate(prompt(random, 8), {
      maxTokens: 60,
      format: { type: "json_schema", schema },
      seed: pick(random, 1000),
    });
  },
  abort: async ({ model, random }) => {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), pick(random, 60));
    await aborted(model.generate(prompt(random, 200), { maxTokens: 200, signal: controller.signal }));
    clearTimeout(timer);
  },
  timeout: async ({ model, random }) => {
    await aborted(
      model.generate(prompt(random, 100), { maxTokens: 200, signal: AbortSignal.timeout(1 + pick(random, 50)) }),
    );
  },
  tokenize: async ({ model, random }) => {
    const ids = await model.tokenizer.encode(prompt(random, 100));
    model.tokenizer.decode(ids);
  },
};
