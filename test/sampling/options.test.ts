import { InvalidOptionError } from "../../lib/errors";
import { resolveSamplingOptions, samplingDefaults } from "../../lib/sampling";

describe("resolveSamplingOptions", () => {
  test("the caller goes before the model, the model before the defaults", () => {
    const resolved = resolveSamplingOptions({ topK: 3 }, { topK: 9, topP: 0.5 });
    expect(resolved).toEqual({ ...samplingDefaults, topK: 3, topP: 0.5 });
  });

  test.each<[string, unknown]>([
    ["temperature", -0.1],
    ["temperature", 101],
    ["temperature", NaN],
    ["temperature", "1"],
    ["topK", -1],
    ["topK", 1.5],
    ["topP", 0],
    ["topP", 1.01],
    ["minP", -0.01],
    ["minP", 1.01],
    ["repetitionPenalty", 0],
    ["repetitionPenalty", Infinity],
    ["repetitionLastN", -2],
    ["frequencyPenalty", 101],
    ["presencePenalty", -101],
    ["seed", -1],
    ["seed", 2 ** 53],
    ["logitBias", [1]],
    ["logitBias", { 1: NaN }],
    ["logitBias", { 1: Infinity }],
    ["logitBias", { 1: -101 }],
    ["logitBias", { one: 1 }],
    ["logitBias", { "-1": 1 }],
    ["logitBias", new Map([["0.5", 1]])],
    ["temprature", 1],
  ])("refuses %s: %p", (name, value) => {
    const resolve = (): unknown => resolveSamplingOptions({ [name]: value });
    expect(resolve).toThrow(InvalidOptionError);
    expect(resolve).toThrow(name);
  });

  test("reads biases from objects and maps", () => {
    expect(resolveSamplingOptions({ logitBias: { 3: 1, 5: -Infinity } }).logitBias).toEqual(
      resolveSamplingOptions({
        logitBias: new Map([
          [3, 1],
          [5, -Infinity],
        ]),
      }).logitBias,
    );
  });
});
