import { StopStrings } from "../../lib/generation/stop_strings";

/** Pushes a text cut into pieces of given sizes; what came out and what ended it. */
function run(stops: string[], pieces: string[]): { text: string; found: string | undefined } {
  const search = new StopStrings(stops);
  let text = "";
  for (const piece of pieces) {
    const result = search.push(piece);
    text += result.text;
    if (result.found !== undefined) return { text, found: result.found };
  }
  return { text: text + search.flush(), found: undefined };
}

/** Every way to cut a text into pieces. */
function* cuts(text: string): Generator<string[]> {
  for (let mask = 0; mask < 1 << (text.length - 1); mask++) {
    const pieces: string[] = [];
    let start = 0;
    for (let i = 1; i <= text.length; i++) {
      if (i < text.length && (mask & (1 << (i - 1))) === 0) continue;
      pieces.push(text.slice(start, i));
      start = i;
    }
    yield pieces;
  }
}

describe("StopStrings", () => {
  test.each([
    ["xabcx", ["abc"], "x", "abc"],
    ["aababc", ["abc"], "aab", "abc"],
    ["abcd", ["bcd", "c"], "ab", "c"],
    ["xabc", ["bc", "abc"], "x", "abc"],
    ["ab\n\ncd", ["\n\n"], "ab", "\n\n"],
    ["aaab", ["ab", "b"], "aa", "ab"],
    ["ababac", ["abac", "zz"], "ab", "abac"],
    ["nothing", ["no!", "ing?"], "nothing", undefined],
    ["end a", ["abc"], "end a", undefined],
  ])("%j with %j, however it is cut", (whole, stops, text, found) => {
    for (const pieces of cuts(whole)) expect(run(stops, pieces)).toEqual({ text, found });
  });

  test("hands out at once what can be no beginning", () => {
    const search = new StopStrings(["abc"]);
    expect(search.push("xyz")).toEqual({ text: "xyz" });
    expect(search.push("xab")).toEqual({ text: "x" });
    expect(search.push("d")).toEqual({ text: "abd" });
    expect(search.flush()).toBe("");
  });
});
