import { InvalidOptionError, Model } from "../../lib";
import { Automaton } from "../../lib/generation/structured/automaton";
import { compileGrammar } from "../../lib/generation/structured/grammar";

function accepts(grammar: string, text: string): boolean {
  const automaton = new Automaton(compileGrammar(grammar));
  return automaton.run(automaton.start, Buffer.from(text))?.accepting ?? false;
}

const ARITHMETIC = `
# Left recursion, as grammars are often written.
root   ::= sum
sum    ::= sum ("+" | "-") product | product
product ::= product [*/] value # and a comment
  | value
value  ::= [0-9]+ | "(" sum ")"`;

const CHESS = `root ::= "1. " move " " move "\\n" ([1-9] [0-9]? ". " move " " move "\\n"){0,3}
move ::= (pawn | nonpawn | castle) [+#]?
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
castle ::= "O-O" "-O"?
`;

test.each<[string, string[], string[]]>([
  ['root ::= "a" | "b"+', ["a", "b", "bbb"], ["", "ab", "aa"]],
  ['root ::= "a"{2} "b"{1,} "c"{0,2}', ["aab", "aabbcc"], ["ab", "aab c", "aabccc"]],
  ["root ::= [^a-c\\]é] .", ["d!", "👩é"], ["a!", "]!", "é!", "d"]],
  ['root ::= "\\x41\\u00e9\\U0001F469\\"\\\\\\n"', ['Aé👩"\\\n'], ["A"]],
  ["root ::= [а-я]+ [\\u4e00-\\u9fff]?", ["привет", "да中"], ["Привет", "abc", "中"]],
  ['root ::= ("a" (root)? "b")', ["ab", "aabb", "aaabbb"], ["aab", "abb", ""]],
  [ARITHMETIC, ["1", "12+3*(4-5)/6", "((1))"], ["", "1+", "(1", "1**2"]],
  [CHESS, ["1. e4 e5\n", "1. e4 e5\n2. Nf3 Nc6\n3. O-O O-O-O#\n"], ["1. e4\n", "e4 e5\n", "1. e9 e5\n"]],
  ['root ::= a\na ::= a a | "x" | a', ["x", "xxx"], ["", "y"]],
  ['root-1 ::= "x"\nroot ::= root-1 "y" | ""', ["", "xy"], ["x"]],
])("%j", (grammar, yes, no) => {
  for (const text of yes) expect([text, accepts(grammar, text)]).toEqual([text, true]);
  for (const text of no) expect([text, accepts(grammar, text)]).toEqual([text, false]);
});

test.each<[string, RegExp]>([
  ['main ::= "a"', /no rule "root"/],
  ["root ::= x", /line 1: the rule "x" is used but not there/],
  ['root ::= "a"\nroot ::= "b"', /line 2: the rule "root" stands there a second time/],
  ['root ::= "a', /line 1: a text has no end/],
  ["root ::= [a", /a class has no end/],
  ["root ::= [b-a]", /a range is out of order/],
  ["root ::= []", /a class has no characters/],
  ['root ::= ("a"', /a group has no end/],
  ['root ::= "a")', /the name of a rule is missing/],
  ['root := "a"', /"::=" is missing behind "root"/],
  ['root ::= "\\q"', /an escape is none of/],
  ['root ::= "\\uD800"', /an escape/],
  ['root ::= "a"{3,2}', /a repetition is out of order/],
  ['root ::= "a"{99999}', /above 10000/],
  ["root ::= *", /line 1: unexpected "\*"/],
  ['root ::= a\na ::= b "x"\nb ::= a "y" | "z"', /cannot be read from its beginning: a -> b -> a/],
  ['root ::= e root "x" | "y"\ne ::= "e"?', /cannot be read from its beginning: root -> root/],
  [`root ::= ${"(".repeat(300)}"a"${")".repeat(300)}`, /nested more than 200 times/],
])("%j is refused, saying why", (grammar, message) => {
  expect(() => compileGrammar(grammar)).toThrow(InvalidOptionError);
  expect(() => compileGrammar(grammar)).toThrow(message);
});

test("rules without an end are found before a text is begun", () => {
  expect(() => new Automaton(compileGrammar('root ::= "a" root'))).toThrow(/No text has this form/);
});

test("a grammar that explodes is refused in bounded time and memory", () => {
  // The third letter from the end decides: 2^n states.
  const exploding = `root ::= [ab]* "a" ${"[ab] ".repeat(40)}`;
  const automaton = new Automaton(compileGrammar(exploding));
  let state = automaton.start;
  expect(() => {
    for (let seed = 1; ; seed = (seed * 48271) % 2147483647) state = automaton.step(state, 97 + (seed & 1))!;
  }).toThrow(/too many states/);
  const wide = `root ::= ${Array.from({ length: 30 }, (_, i) => `r${i}`).join(" ")}\n${Array.from({ length: 30 }, (_, i) => `r${i} ::= ("a"{0,9999}){0,9999}`).join("\n")}`;
  expect(() => new Automaton(compileGrammar(wide))).toThrow(/too many states/);
});

test("a comment that looks like many is read in one go", () => {
  expect(accepts(`root ::= "a" b ${"# ".repeat(2000)}\nb ::= "b"`, "ab")).toBe(true);
});

test("a model's text keeps the form of a grammar, whatever the seed", async () => {
  await using model = await Model.load();
  const automaton = new Automaton(compileGrammar(CHESS));
  for (let seed = 0; seed < 6; seed++) {
    const options = { format: { type: "grammar", grammar: CHESS }, seed, temperature: 2, maxTokens: 200 } as const;
    const { text, finishReason } = await model.generate("The game: ", options);
    expect(finishReason).toBe("stop");
    expect(automaton.run(automaton.start, Buffer.from(text))?.accepting).toBe(true);
  }
  await expect(model.generate("x", { format: { type: "grammar", grammar: "x" } })).rejects.toThrow(/"::=" is missing/);
  await expect(model.generate("x", { format: { type: "grammar" } as never })).rejects.toThrow(/"format" must be/);
});
