import * as fc from "fast-check";
import { ChatTemplate } from "../../../lib/chat";
import { builtinTemplates } from "../../../lib/chat/template_builtin";
import { refusable, type Target } from "../target";

const NAMES = [
  "messages",
  "message",
  "x",
  "loop",
  "namespace",
  "tools",
  "bos_token",
  "add_generation_prompt",
  "ns.a",
  "range",
];
const FILTERS = [
  "trim",
  "upper",
  "length",
  "tojson",
  "join",
  "list",
  "items",
  "first",
  "reverse",
  "string",
  "indent",
  "safe",
];

const { block } = fc.letrec<{ expression: string; block: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(...NAMES),
    fc.constantFrom("'a'", "1", "0", "9999999999", "true", "none", "[]", "{}", "[1, 2]", "'\\n'"),
    fc
      .tuple(
        tie("expression"),
        fc.constantFrom("+", "-", "*", "~", "/", "%", "==", "and", "or", "in", "//", "**"),
        tie("expression"),
      )
      .map((each) => each.join(" ")),
    fc.tuple(tie("expression"), fc.constantFrom(...FILTERS)).map(([value, filter]) => `(${value}) | ${filter}`),
    tie("expression").map((value) => `(${value})`),
    fc.tuple(tie("expression"), tie("expression")).map(([value, index]) => `${value}[${index}]`),
    fc.tuple(tie("expression"), tie("expression")).map(([value, end]) => `${value}[:${end}]`),
    fc
      .tuple(
        fc.constantFrom(
          "range",
          "raise_exception",
          "strftime_now",
          "x",
          "namespace",
          "'a'.split",
          "x.replace",
          "[].append",
        ),
        tie("expression"),
      )
      .map(([name, argument]) => `${name}(${argument})`),
    fc.tuple(tie("expression"), tie("expression"), tie("expression")).map(([a, b, c]) => `(${a} if ${b} else ${c})`),
  ),
  block: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.string({ maxLength: 8 }),
    tie("expression").map((value) => `{{ ${value} }}`),
    fc
      .tuple(fc.constantFrom("x", "ns.a", "message", "messages"), tie("expression"))
      .map(([name, value]) => `{% set ${name} = ${value} %}`),
    fc
      .tuple(tie("expression"), tie("block"), tie("block"))
      .map(([test, yes, no]) => `{% if ${test} %}${yes}{% else %}${no}{% endif %}`),
    fc
      .tuple(tie("expression"), tie("block"))
      .map(([items, body]) => `{% for message in ${items} %}${body}{% endfor %}`),
    fc
      .tuple(tie("block"), tie("expression"))
      .map(([body, argument]) => `{% macro x(a) %}${body}{% endmacro %}{{ x(${argument}) }}`),
    fc.tuple(tie("block"), tie("block")).map((each) => each.join("")),
    tie("expression").map((value) => `{% ${value} %}`),
  ),
}));

interface Input {
  source: string;
  content: string;
}

/** Chat templates. */
export const templateTarget: Target<Input> = {
  name: "template",
  covers: ["lib/chat/template"],
  weight: 2,
  inputs: fc.record({
    source: fc.oneof(
      fc.array(block, { maxLength: 5 }).map((blocks) => blocks.join("")),
      fc
        .tuple(
          fc.constantFrom(...Object.values(builtinTemplates).map(({ source }) => source)),
          fc.nat(400),
          fc.string(),
        )
        .map(([source, at, put]) => source.slice(0, at) + put + source.slice(at)),
    ),
    content: fc.string({ unit: "binary" }),
  }),
  async check({ source, content }) {
    const template = await refusable(() => ChatTemplate.compile(source));
    if (!template) return;
    const text = await refusable(() =>
      template.render([
        { role: "user", content },
        { role: "assistant", content: "" },
      ]),
    );
    if (text !== undefined && typeof text !== "string") throw new Error("A template gave no text");
  },
};
