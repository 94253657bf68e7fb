/** Several models in one process: each says what it says alone, and one may go while the others work. */
import { join } from "node:path";
import { AbortError, ClosedError, Model, type GenerationOptions } from "../../lib";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

jest.setTimeout(60_000);

const folder = temporaryFolder();
const paths = [1, 2, 3].map((seed) => join(folder, `tiny-${seed}.gguf`));
beforeAll(() => paths.forEach((path, i) => writeTinyModel(path, { seed: i + 1, context: 512 })));

const PROMPT = [72, 101, 108, 108, 111];
const OPTIONS: GenerationOptions = { ignoreEos: true, maxTokens: 60, temperature: 1, seed: 4 };

async function alone(path: string): Promise<number[]> {
  await using model = await Model.load(path);
  return (await model.generate(PROMPT, OPTIONS)).tokens;
}

test("work side by side, are unloaded under load and loaded again", async () => {
  const expected: number[][] = [];
  for (const path of paths) expected.push(await alone(path));
  expect(new Set(expected.map(String)).size).toBe(3);

  const models = await Promise.all(paths.map((path) => Model.load(path)));
  const [first, second, third] = models as [Model, Model, Model];
  for (let round = 0; round < 3; round++) {
    const texts = await Promise.all(models.map((model) => model.generate(PROMPT, OPTIONS)));
    expect(texts.map(({ tokens }) => tokens)).toEqual(expected);
  }

  // One goes in the middle of its text.
  const long = first.stream(PROMPT, { ...OPTIONS, maxTokens: 400 });
  await long.next();
  const others = [second, third].map((model) => model.generate(PROMPT, OPTIONS));
  const closed = first.close();
  const rest = (async () => {
    for await (const _ of long);
  })();
  await expect(rest).rejects.toBeInstanceOf(AbortError);
  await closed;
  expect((await Promise.all(others)).map(({ tokens }) => tokens)).toEqual(expected.slice(1));
  await expect(first.generate(PROMPT)).rejects.toBeInstanceOf(ClosedError);

  // The same file twice at a time, and once more after that.
  const [again, twin] = await Promise.all([Model.load(paths[0]), Model.load(paths[0])]);
  const both = await Promise.all([again, twin].map((model) => model.generate(PROMPT, OPTIONS)));
  expect(both.map(({ tokens }) => tokens)).toEqual([expected[0], expected[0]]);
  await Promise.all([again, twin, second, third].map((model) => model.close()));
});
