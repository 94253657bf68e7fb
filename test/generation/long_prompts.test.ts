/** Texts that cannot fit are refused by their length, before they take the tokenizer's time. */
import { Model } from "../../lib";
import { ContextLengthError } from "../../lib/errors";

let model: Model;

beforeAll(async () => {
  model = await Model.load(undefined, { threads: 1 });
});
afterAll(() => model.close());

const MEGABYTES = " ".repeat(4_000_000);

test.each([
  ["generate", (text: string) => model.generate(text, { maxTokens: 1 })],
  ["generateSamples", (text: string) => model.generateSamples(text, 2, { maxTokens: 1 })],
  ["chat", (text: string) => model.chat().ask(text, { maxTokens: 1 })],
  ["chat's system message", (text: string) => model.chat({ system: text }).ask("Who?", { maxTokens: 1 })],
  ["embed", (text: string) => model.embed(text)],
  ["score's prompt", (text: string) => model.score(text, " king")],
  ["score's continuation", (text: string) => model.score("The", text)],
] as const)("%s", async (_, ask) => {
  const encode = jest.spyOn(model.tokenizer, "encode");
  try {
    await expect(ask(MEGABYTES)).rejects.toThrow(ContextLengthError);
    await expect(ask(MEGABYTES)).rejects.toThrow(/has at least \d+ tokens; at most \d+ fit/);
    for (const [text] of encode.mock.calls) expect(text.length).toBeLessThan(1000);
  } finally {
    encode.mockRestore();
  }
});

test("a text that may fit is told with its own tokens", async () => {
  const text = "The king had a daughter. ".repeat(200);
  const { length } = await model.tokenizer.encode(text);
  await expect(model.generate(text)).rejects.toThrow(new RegExp(`has ${length} tokens`));
});

test("a prompt that is to be cut is read whole", async () => {
  const text = "The king had a daughter. ".repeat(3000);
  const { usage } = await model.generate(text, { maxTokens: 2, temperature: 0, overflow: "slide" });
  expect(usage.droppedTokens).toBeGreaterThan(10_000);
});
