/** Lists of token ids are checked by one piece of code, whose errors name the list and the place in it. */
import { Model } from "../../lib";
import { ContextLengthError, InvalidOptionError } from "../../lib/errors";

let model: Model;

beforeAll(async () => {
  model = await Model.load(undefined, { threads: 1 });
});
afterAll(() => model.close());

const TAKERS: [string, (tokens: number[]) => Promise<unknown>][] = [
  ["model.stream: the prompt", async (tokens) => model.stream(tokens).next()],
  ["model.generate: the prompt", (tokens) => model.generate(tokens)],
  ["model.generateSamples: the prompt", (tokens) => model.generateSamples(tokens, 2)],
  ["model.evaluate: the text", (tokens) => model.evaluate(tokens)],
  ["model.score: the text", (tokens) => model.score(tokens)],
  ["model.score: the prompt", (tokens) => model.score(tokens, [1])],
  ["model.score: the continuation", (tokens) => model.score([1], tokens)],
  ["model.embed: text 1", (tokens) => model.embed([[1], tokens])],
  ["model.embed: text 1", (tokens) => model.embed([[1], tokens], { truncate: true, pooling: "first" })],
];

test.each(TAKERS)("%s: what is no id is named by its place", async (what, take) => {
  const last = model.info.vocabularySize - 1;
  const holes: number[] = [1, 2];
  holes[3] = 4;
  const cases: [number[], string][] = [
    [[1, -1], `${what}: token 1 must be an integer from 0 to ${last}, not -1.`],
    [[1, 2, last + 1], `${what}: token 2 must be an integer from 0 to ${last}, not ${last + 1}.`],
    [[1.5], `${what}: token 0 must be an integer from 0 to ${last}, not 1.5.`],
    [["1"] as unknown as number[], `${what}: token 0 must be an integer from 0 to ${last}, not '1'.`],
    [holes, `${what}: token 2 must be an integer from 0 to ${last}, not undefined.`],
  ];
  for (const [tokens, message] of cases) {
    const error: unknown = await take(tokens).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toHaveProperty("message", message);
  }
});

test.each(TAKERS)("%s: what is no list is refused in the same words", async (what, take) => {
  const message = new RegExp(`^${what} must be (a string or )?a list of token ids, not 7\\.$`);
  await expect(take(7 as unknown as number[])).rejects.toThrow(what.endsWith("continuation") ? /not 7\.$/ : message);
});

test("a prompt and its continuation must fit together", async () => {
  const half = Array<number>(model.info.contextLength / 2 + 1).fill(1);
  await expect(model.score(half, half)).rejects.toThrow(ContextLengthError);
  await expect(model.score(half, half)).rejects.toThrow(`the whole text has ${half.length * 2} tokens`);
  expect((await model.score(half, half.slice(1))).tokens).toHaveLength(half.length - 1);
});
