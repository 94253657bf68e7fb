import { InvalidOptionError } from "../lib/errors";
import {
  abortSignal,
  boolean,
  callback,
  checkOptions,
  choice,
  either,
  integer,
  listOf,
  nearestName,
  number,
  text,
} from "../lib/validate";

const CHECKS = {
  maxTokens: integer({ min: 0 }),
  temperature: number({ min: 0, max: 100 }),
  stop: either("a string or an array of strings", text(), listOf(text(), { max: 4 })),
  kvType: choice(["f32", "f16"]),
  ignoreEos: boolean(),
  signal: abortSignal(),
  onProgress: callback<(share: number) => void>(),
};

function check(options: unknown) {
  return checkOptions("model.generate", options, CHECKS);
}

function messageOf(options: unknown): string {
  try {
    check(options);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("checkOptions", () => {
  test("returns what was given and leaves out what is undefined", () => {
    const { signal } = new AbortController();
    const onProgress = () => undefined;
    const given = { maxTokens: 5, temperature: 0, stop: ["a"], kvType: "f16", ignoreEos: false, signal, onProgress };
    expect(check(given)).toEqual(given);
    expect(Object.keys(check({ maxTokens: undefined, temperature: 1 }))).toEqual(["temperature"]);
    expect(check(undefined)).toEqual({});
  });

  test.each([[null], [[]], ["fast"], [3]])("refuses %p in place of an object", (options) => {
    expect(messageOf(options)).toMatch(/^model\.generate: options must be an object, not /);
  });

  test("refuses an unknown name and suggests the nearest known one", () => {
    expect(messageOf({ maxTokns: 5 })).toBe('model.generate: unknown option "maxTokns". Did you mean "maxTokens"?');
    expect(messageOf({ max_tokens: undefined })).toContain('Did you mean "maxTokens"?');
    expect(messageOf({ wholly: 5 })).toContain("Known: maxTokens, temperature,");
  });

  test("is not fooled by names that every object has", () => {
    expect(messageOf({ toString: 1 })).toContain('unknown option "toString"');
    expect(messageOf(JSON.parse('{ "__proto__": {} }'))).toContain('unknown option "__proto__"');
  });

  test.each([
    [{ maxTokens: 1.5 }, 'option "maxTokens" must be an integer of at least 0, not 1.5.'],
    [{ maxTokens: -1 }, "must be an integer of at least 0, not -1."],
    [{ maxTokens: "5" }, "must be an integer of at least 0, not '5'."],
    [{ maxTokens: 2 ** 53 }, "must be an integer"],
    [{ temperature: NaN }, "must be a number from 0 to 100, not NaN."],
    [{ temperature: Infinity }, "must be a number from 0 to 100, not Infinity."],
    [{ stop: "" }, "must be a string or an array of strings, not ''."],
    [{ stop: ["a", 1] }, "must be a string or an array of strings"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "must be a string or an array of strings"],
    [{ kvType: "F16" }, 'must be one of "f32", "f16", not \'F16\'. Did you mean "f16"?'],
    [{ kvType: null }, 'must be one of "f32", "f16", not null.'],
    [{ ignoreEos: 0 }, "must be true or false, not 0."],
    [{ signal: {} }, "must be an AbortSignal, not {}."],
    [{ signal: null }, "must be an AbortSignal, not null."],
    [{ onProgress: true }, "must be a function, not true."],
  ])("refuses %p", (options, message) => {
    expect(messageOf(options)).toContain(message);
  });

  test("keeps messages short whatever was given", () => {
    expect(messageOf({ maxTokens: "x".repeat(1e6) }).length).toBeLessThan(250);
  });
});

test("a list names the item that is wrong and is copied", () => {
  const given = ["a"];
  const checked = listOf(text())("prompts", given);
  expect(checked).toEqual(given);
  expect(checked).not.toBe(given);
  expect(() => listOf(text())("prompts", ["a", 2])).toThrow("prompts[1] must be a string that is not empty, not 2.");
  expect(() => listOf(text(), { min: 1 })("prompts", [])).toThrow(
    "must be an array with a length of at least 1, not 0.",
  );
});

describe("nearestName", () => {
  const names = ["topK", "topP", "minP", "temperature"];
  test.each([
    ["topk", "topK"],
    ["tempreature", "temperature"], // Two neighbours swapped.
    ["temp", undefined],
    ["", undefined],
    ["temperature".repeat(100), undefined],
  ])("%p -> %p", (word, expected) => {
    expect(nearestName(word, names)).toBe(expected);
  });
});
