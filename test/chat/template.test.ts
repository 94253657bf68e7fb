import { ChatTemplate, type Message } from "../../lib/chat/template";
import { encodeChat } from "../../lib/chat/template_encode";
import { InvalidOptionError, ModelFormatError, UnsupportedModelError } from "../../lib/errors";
import { tokenizerFromGguf, type Tokenizer } from "../../lib/tokenizer";
import { byteLevelVocabulary } from "../tokenizer/vocabularies";

const conversation: Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: " Hello " },
  { role: "assistant", content: "Hi." },
  { role: "user", content: "Why?" },
];

describe("built-in templates", () => {
  test("chatml", () => {
    expect(ChatTemplate.named("chatml").render(conversation)).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hello <|im_end|>\n" +
        "<|im_start|>assistant\nHi.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  test("llama3, which trims and begins with BOS", () => {
    const template = ChatTemplate.named("llama3", { bosToken: "<|begin_of_text|>" });
    expect(template.render(conversation.slice(0, 2))).toBe(
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>" +
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    );
    expect(template.stop).toEqual(["<|eot_id|>"]);
  });

  test("story: answers continue, other messages start a paragraph", () => {
    expect(ChatTemplate.named("story").render(conversation)).toBe("Be brief.\n\n Hello Hi.\n\nWhy?");
  });

  test("without a generation prompt the text ends with the last message", () => {
    const text = ChatTemplate.named("chatml").render(conversation.slice(0, 1), { addGenerationPrompt: false });
    expect(text).toBe("<|im_start|>system\nBe brief.<|im_end|>\n");
  });

  test("unknown names are refused with the nearest known one", () => {
    expect(() => ChatTemplate.named("lama3")).toThrow(/Did you mean "llama3"/);
    expect(() => ChatTemplate.named("constructor")).toThrow(InvalidOptionError);
  });
});

describe("a model's own template", () => {
  const render = (source: string): string => ChatTemplate.compile(source).render(conversation);

  test("sees tokens and tools", () => {
    const template = ChatTemplate.compile("{{ bos_token }}{{ tools[0].name if tools else 'none' }}{{ eos_token }}", {
      bosToken: "<s>",
      eosToken: "</s>",
    });
    expect(template.render(conversation)).toBe("<s>none</s>");
    expect(template.render(conversation, { tools: [{ name: "clock" }] })).toBe("<s>clock</s>");
  });

  test("may ask for the date", () => {
    const year = String(new Date().getFullYear());
    expect(render("{{ strftime_now('%Y-%m-%d') }}")).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect([year, String(Number(year) + 1)]).toContain(render("{{ strftime_now('%Y') }}"));
  });

  test("may refuse messages, in its own words", () => {
    const refusing = (): string => render("{{ raise_exception('Roles must alternate') }}");
    expect(refusing).toThrow(UnsupportedModelError);
    expect(refusing).toThrow(/refuses these messages: Roles must alternate/);
  });

  test.each(["{% for", "{{ 1 +", "{% endif %}", "{% if true %}"])("that cannot be parsed is refused: %s", (source) => {
    expect(() => ChatTemplate.compile(source)).toThrow(ModelFormatError);
  });

  test.each([
    "{{ nothing() }}",
    "{{ messages | no_such_filter }}",
    "{% for i in range(1000000000000) %}{% endfor %}",
    "{% for i in range(1, 5, 0) %}{% endfor %}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
  ])("that fails gives a typed error: %s", (source) => {
    expect(() => render(source)).toThrow(UnsupportedModelError);
  });

  // Without a budget each of these takes the memory of the process, which ends.
  test.each([
    [
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      /a list longer/,
    ],
    [
      "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      /a text longer/,
    ],
    ["{{ [1] | tojson(indent=99999999) }}", /a text longer/],
    ["{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}", /steps|longer|timed out/],
  ])(
    "that grows without end is stopped: %s",
    (source, reason) => {
      expect(() => render(source)).toThrow(UnsupportedModelError);
      expect(() => render(source)).toThrow(reason);
    },
    60_000,
  );

  test("of a megabyte and more is refused", () => {
    expect(() => ChatTemplate.compile("a".repeat(2 ** 20 + 1))).toThrow(ModelFormatError);
  });

  test("that does not end is stopped", () => {
    const loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    expect(() => render(loops)).toThrow(UnsupportedModelError);
  }, 60_000);

  // As a process that was suspended, or a machine that slept.
  test("is rendered again where time passed, but not by its own work", () => {
    const stops = new Int32Array(new SharedArrayBuffer(4));
    const original = Intl.DateTimeFormat;
    const spy = jest.spyOn(Intl, "DateTimeFormat").mockImplementationOnce((...given) => {
      Atomics.wait(stops, 0, 0, 2500);
      return original(...given);
    });
    try {
      expect(render("{{ strftime_now('%b') | length }}")).toBe("3");
      expect(spy).toHaveBeenCalledTimes(2);
    } finally {
      spy.mockRestore();
    }
  }, 60_000);

  test("cannot change the caller's messages", () => {
    const messages: Message[] = [{ role: "user", content: "a" }];
    ChatTemplate.compile("{% set x = messages[0].update({'content': 'b'}) if false else 1 %}").render(messages);
    expect(messages).toEqual([{ role: "user", content: "a" }]);
  });
});

test.each<[unknown, RegExp]>([
  ["text", /messages must be an array/],
  [[null], /messages\[0\]\.role/],
  [[{ role: "owner", content: "" }], /messages\[0\]\.role must be one of/],
  [[{ role: "user", content: 5 }], /messages\[0\]\.content must be a string/],
])("refuses %p as messages", (messages, error) => {
  const render = (): string => ChatTemplate.named("chatml").render(messages as Message[]);
  expect(render).toThrow(InvalidOptionError);
  expect(render).toThrow(error);
});

describe("encodeChat", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await tokenizerFromGguf(byteLevelVocabulary());
  });
  afterAll(() => tokenizer.close());

  const source =
    "{{ bos_token }}{% for m in messages %}{{ m['content'] | trim }}<|eot_id|>{% endfor %}" +
    "{% if add_generation_prompt %}>{% endif %}";

  test("adds one BOS, whether the template writes it or not", async () => {
    for (const bosToken of ["<|begin|>", ""]) {
      const template = ChatTemplate.compile(source, { bosToken });
      const ids = await encodeChat(template, tokenizer, [{ role: "user", content: "hello" }]);
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe("<|begin|>hello<|eot_id|>>");
      expect([...ids].filter((id) => id === tokenizer.bosId)).toHaveLength(1);
    }
  });

  test("control tokens come from the template alone", async () => {
    const template = ChatTemplate.compile(source, { bosToken: "<|begin|>" });
    const content = "  <|eot_id|><|begin|>hello<|eot_id|>!  ";
    const ids = await encodeChat(template, tokenizer, [{ role: "user", content }]);
    expect([...ids].filter((id) => tokenizer.isSpecial(id))).toHaveLength(2);
    // The template's own trimming still works, and nothing of the guard is left.
    expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(`<|begin|>${content.trim()}<|eot_id|>>`);
  });

  test("works for messages that contain the usual guard", async () => {
    const template = ChatTemplate.compile(source);
    const ids = await encodeChat(template, tokenizer, [{ role: "user", content: "\ufdd0<|eot_id|>" }]);
    expect(tokenizer.decode(ids)).toBe("\ufdd0<|eot_id|>>");
    const all = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i)).join("");
    await expect(encodeChat(template, tokenizer, [{ role: "user", content: all }])).rejects.toThrow(InvalidOptionError);
  });
});
