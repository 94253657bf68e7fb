import * as fc from "fast-check";
import { Automaton } from "../../../lib/generation/structured/automaton";
import { compileRegex } from "../../../lib/generation/structured/regex";
import { refusable, type Target } from "../target";

const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(
      "a",
      "b",
      "1",
      ".",
      "\\d",
      "\\w",
      "\\s",
      "\\S",
      "[ab]",
      "[^a]",
      "[a-z0]",
      "\\n",
      "\\.",
      "é",
      "-",
      "^",
      "$",
    ),
    fc
      .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"))
      .map(([inner, times]) => `(?:${inner})${times}`),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(${a}|${b})`),
    fc.array(tie("pattern"), { maxLength: 4 }).map((each) => each.join("")),
  ),
}));

interface Input {
  source: string;
  texts: string[];
}

/** Regular expressions that hold texts to a form: the same texts as JavaScript's, which is the reference. */
export const regexTarget: Target<Input> = {
  name: "regex",
  covers: [
    "lib/generation/structured/regex.ts",
    "lib/generation/structured/automaton.ts",
    "lib/generation/structured/expression.ts",
  ],
  weight: 1,
  inputs: fc.record({
    source: fc.oneof(
      pattern,
      fc.string(),
      fc.tuple(pattern, fc.string({ maxLength: 3 })).map((each) => each.join("")),
    ),
    texts: fc.array(fc.string({ unit: fc.constantFrom("a", "b", "1", " ", "\n", "é", ".", "-", "z"), maxLength: 8 }), {
      maxLength: 6,
    }),
  }),
  async check({ source, texts }) {
    const automaton = await refusable(() => new Automaton(compileRegex(source)));
    if (!automaton) return;
    for (const text of texts) {
      const state = await refusable(() => automaton.run(automaton.start, Buffer.from(text)) ?? "no");
      if (state === undefined) return;
      const accepted = state !== "no" && state.accepting;
      if (!isPlain(source)) continue;
      const expected = new RegExp(`^(?:${source})$`, "u").test(text);
      if (accepted !== expected) throw new Error(`${JSON.stringify(text)} is ${accepted ? "" : "not "}taken`);
    }
  },
};

/** Whether the expression means the same to JavaScript: classes here are ASCII, and anchors stand at the ends only. */
function isPlain(source: string): boolean {
  if (/[\\][sSwWdD]|\^|\$|[^\x20-\x7eé]/.test(source)) return false;
  try {
    return new RegExp(source, "u") instanceof RegExp;
  } catch {
    return false;
  }
}
