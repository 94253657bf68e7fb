import { join } from "node:path";
import {
  AbortError,
  ClosedError,
  ContextLengthError,
  IncompleteTextError,
  InvalidOptionError,
  Model,
  QueueFullError,
  type ChatOptions,
} from "../../lib";
import { temporaryFolder, writeTinyModel } from "../helpers/tiny_model";

let model: Model;
beforeAll(async () => {
  model = await Model.load();
});
afterAll(() => model.close());

const OPTIONS = { temperature: 0, maxTokens: 20 } as const;

describe("a chat session", () => {
  test("remembers, and computes only what is new", async () => {
    using chat = model.chat({ system: "A tale of a fox.", ...OPTIONS });
    const first = await chat.ask("The fox said:");
    expect(first.usage.cachedTokens).toBe(0);
    const second = await chat.ask("And the hen answered:");
    expect(chat.messages).toEqual([
      { role: "system", content: "A tale of a fox." },
      { role: "user", content: "The fox said:" },
      { role: "assistant", content: first.text },
      { role: "user", content: "And the hen answered:" },
      { role: "assistant", content: second.text },
    ]);
    // The whole first prompt at least; of the answer, as far as its text has the same tokens.
    expect(second.usage.cachedTokens).toBeGreaterThanOrEqual(first.usage.promptTokens);
    expect(second.usage.cachedTokens).toBeLessThan(second.usage.promptTokens);
  });

  test("says what a model without a cache would say", async () => {
    using chat = model.chat({ template: "story", ...OPTIONS });
    const first = await chat.ask("Once upon a time");
    const second = await chat.ask("The king");
    const { tokens } = await model.generate(`Once upon a time${first.text}\n\nThe king`, OPTIONS);
    expect(second.tokens).toEqual(tokens);
  });

  test("many sessions at a time do not disturb each other", async () => {
    const turns = async (chat: ReturnType<Model["chat"]>): Promise<string[]> => {
      const texts: string[] = [];
      for (const question of ["One day", "The prince", "At last"]) texts.push((await chat.ask(question)).text);
      chat.close();
      return texts;
    };
    const alone = await turns(model.chat(OPTIONS));
    const together = await Promise.all(Array.from({ length: 6 }, () => turns(model.chat(OPTIONS))));
    for (const texts of together) expect(texts).toEqual(alone);
  });

  test("an answer's options go before the session's", async () => {
    using chat = model.chat({ ...OPTIONS, maxTokens: 3 });
    expect((await chat.ask("Once")).usage.completionTokens).toBe(3);
    expect((await chat.ask("Once", { maxTokens: 5 })).usage.completionTokens).toBe(5);
  });

  test("gives the value of an answer that is held to a schema, or says why not", async () => {
    using chat = model.chat({ template: "story", maxTokens: 40, seed: 2 });
    const schema = {
      type: "object",
      properties: { n: { enum: [1, 2] } },
      required: ["n"],
      additionalProperties: false,
    };
    const { value, text } = await chat.ask("How many?", { schema });
    expect(value).toEqual(JSON.parse(text));
    expect([1, 2]).toContain((value as { n: number }).n);
    await expect(chat.ask("And?", { schema, maxTokens: 1 })).rejects.toBeInstanceOf(IncompleteTextError);
    await expect(chat.ask("And?", { schema: null as never })).rejects.toBeInstanceOf(InvalidOptionError);
  });

  test("refuses a second question while an answer is read", async () => {
    using chat = model.chat(OPTIONS);
    const answer = chat.send("Once");
    await answer.next();
    await expect(chat.ask("Twice")).rejects.toBeInstanceOf(QueueFullError);
    await answer.return();
    await expect(chat.ask("Twice")).resolves.toBeDefined();
  });

  test("forgets a turn that was aborted or left, and goes on as if it never was", async () => {
    using plain = model.chat(OPTIONS);
    using chat = model.chat(OPTIONS);
    const expected = [await plain.ask("Once upon a time"), await plain.ask("The king")];
    const first = await chat.ask("Once upon a time");

    const controller = new AbortController();
    const aborted = chat.send("The queen", { signal: controller.signal });
    await aborted.next();
    controller.abort();
    await expect(aborted.next()).rejects.toBeInstanceOf(AbortError);
    for await (const chunk of chat.send("The witch")) if (chunk.tokens.length > 0) break;

    expect(chat.messages).toHaveLength(2);
    expect([first.text, (await chat.ask("The king")).text]).toEqual(expected.map(({ text }) => text));
  });

  test("ends an answer at the context's end, or fails it", async () => {
    const path = join(temporary, "tiny.gguf");
    writeTinyModel(path, { context: 64 });
    await using tiny = await Model.load(path);
    using chat = tiny.chat({ template: "story", ignoreEos: true });
    expect((await chat.ask("a")).finishReason).toBe("context");
    expect(chat.messages).toHaveLength(2);
    await expect(chat.ask("b".repeat(80))).rejects.toBeInstanceOf(ContextLengthError);
    expect(chat.messages).toHaveLength(2);

    using strict = tiny.chat({ template: "story", ignoreEos: true, overflow: "error" });
    await expect(strict.ask("a")).rejects.toBeInstanceOf(ContextLengthError);
    expect(strict.messages).toEqual([]);
  });

  test("refuses wrong options, and a model without a template", async () => {
    expect(() => model.chat({ sytem: "x" } as ChatOptions)).toThrow(/unknown option "sytem".*"system"/);
    expect(() => model.chat({ template: "nobody" })).toThrow(InvalidOptionError);
    using chat = model.chat();
    expect(() => chat.send(5 as unknown as string)).toThrow(InvalidOptionError);
    expect(() => chat.send("x", { system: "y" } as object)).toThrow(/unknown option "system"/);
    const path = join(temporary, "plain.gguf");
    writeTinyModel(path);
    await using tiny = await Model.load(path);
    expect(() => tiny.chat()).toThrow(/no chat template.*"template"/);
  });

  test("cannot be used after close, which ends an answer", async () => {
    const chat = model.chat({ ...OPTIONS, maxTokens: 400 });
    const answer = chat.ask("Once");
    await new Promise((resolve) => setTimeout(resolve, 5));
    chat.close();
    chat.close();
    await expect(answer).rejects.toMatchObject({ code: expect.stringMatching(/ERR_ABORTED|ERR_CLOSED/) as string });
    expect(() => chat.send("Twice")).toThrow(ClosedError);
  });
});

const temporary = temporaryFolder();
