import { Model, type GenerationOptions } from "../../lib";
import { PassCosts } from "../../lib/engine/pass_costs";
import { PromptLookup } from "../../lib/generation/prompt_lookup";
import { Random } from "../../lib/sampling";

jest.setTimeout(60_000);

/** Guesses that cost nothing. */
const free = (): number => 1;

let model: Model;
beforeAll(async () => {
  // How many guesses pay is measured: on a busy machine it may be none.
  jest.spyOn(PassCosts.prototype, "ratio").mockImplementation(free);
  model = await Model.load(undefined, { prefixCache: false });
});
afterAll(() => model.close());

describe("prompt lookup", () => {
  test("guesses what followed the same tokens last time", () => {
    const lookup = new PromptLookup();
    for (const token of [1, 2, 3, 4, 5, 6, 9, 3, 4]) lookup.push(token);
    expect(lookup.drafts(3, free)).toEqual([5, 6, 9]);
    expect(lookup.drafts(1, free)).toEqual([5]);
    expect(lookup.drafts(0, free)).toEqual([]);
    lookup.push(8);
    expect(lookup.drafts(4, free)).toEqual([]);
  });

  test("goes on with its own guesses where a text repeats itself shortly", () => {
    const lookup = new PromptLookup();
    for (const token of [9, 1, 2, 3, 1, 2, 3, 1]) lookup.push(token);
    expect(lookup.drafts(7, free)).toEqual([2, 3, 1, 2, 3, 1, 2]);
    for (const token of [5, 5, 5]) lookup.push(token);
    expect(lookup.drafts(6, free)).toEqual([5, 5, 5, 5, 5, 5]);
  });

  test("guesses as many as pay by their cost and their chance", () => {
    const lookup = new PromptLookup();
    for (let i = 0; i < 40; i++) lookup.push(i % 5);
    const line = (slope: number) => (drafts: number) => 1 + slope * drafts;
    const count = (slope: number): number => lookup.drafts(15, line(slope)).length;
    const untried = count(0.3);
    expect(untried).toBeGreaterThan(0);
    expect(untried).toBeLessThan(8);
    for (let i = 0; i < 4; i++) lookup.judge(4, 4);
    // Now they are trusted.
    expect(count(0.3)).toBeGreaterThan(untried);
    expect(count(0.1)).toBeGreaterThanOrEqual(count(0.3));
    // The engine computes twelve at little more than one, but a further one is dear.
    expect(lookup.drafts(15, (drafts) => (drafts <= 12 ? 1 + drafts / 20 : 10))).toHaveLength(12);
    expect(count(1.1)).toBe(0);
  });

  test("guesses nothing that a plain search does not find", () => {
    const random = new Random(3);
    for (let round = 0; round < 200; round++) {
      const lookup = new PromptLookup();
      const tokens = Array.from({ length: 2 + (random.nextUint32() % 60) }, () => random.nextUint32() % 4);
      for (const token of tokens) lookup.push(token);
      const drafts = lookup.drafts(4, free);
      // Of what it guesses behind the text's end it has no example but itself.
      const followers = tokens.flatMap((_, end) => {
        const same = end >= 2 && end < tokens.length && tokens.slice(end - 2, end).join() === tokens.slice(-2).join();
        return same ? [[...tokens.slice(end), ...drafts].slice(0, drafts.length).join()] : [];
      });
      if (drafts.length === 0) expect(followers).toEqual([]);
      else expect(followers).toContain(drafts.join());
    }
  });

  test("stops where it does not pay", () => {
    const lookup = new PromptLookup();
    let guessed = 0;
    for (let i = 0; i < 400; i++) {
      lookup.push(i % 2);
      const { length } = lookup.drafts(4, (drafts) => 1 + 0.4 * drafts);
      guessed += length;
      if (length > 0) lookup.judge(0, length);
    }
    expect(guessed).toBeLessThan(200);
  });
});

describe("speculation", () => {
  const repeated = "The fox said to the hen: come with me. The hen said to the fox: I will not come. ".repeat(3);

  test.each<GenerationOptions>([
    { temperature: 0 },
    { temperature: 0, logitBias: { 300: 100 } },
    { temperature: 0.8 },
    { temperature: 1.2, topK: 0, topP: 0.9 },
    { temperature: 0.6, topK: 0, topP: 1, minP: 0, logitBias: { 300: 4 } },
    { temperature: 0.5, mirostat: true, mirostatTau: 2 },
    { temperature: 0.7, xtcProbability: 0.5 },
  ])("gives the same tokens as without for %j", async (options) => {
    let right = 0;
    for (let seed = 0; seed < 5; seed++) {
      const given = {
        ...options,
        seed,
        maxTokens: 40 + seed,
        ignoreEos: true,
        logprobs: seed % 2 === 0 ? undefined : 1,
      };
      const [with_, without] = await Promise.all([
        model.generate(repeated, { ...given, speculation: "prompt-lookup" } as GenerationOptions),
        model.generate(repeated, { ...given, speculation: "off" } as GenerationOptions),
      ]);
      expect(with_.tokens).toEqual(without.tokens);
      expect(with_.logprobs).toEqual(without.logprobs);
      expect(without.timings.draftTokens).toBe(0);
      right += with_.timings.acceptedDrafts;
    }
    // Elsewhere it depends on luck whether a text repeats itself; here it says one word over and over.
    if (options.temperature === 0 && options.logitBias) expect(right).toBeGreaterThan(0);
  });

  test("frees what wrong guesses took", async () => {
    await model.generate(repeated, { temperature: 0, maxTokens: 40, speculation: "prompt-lookup" });
    const { total, free, cached } = model.stats().kvBlocks;
    expect(free + cached).toBe(total);
  });
});
