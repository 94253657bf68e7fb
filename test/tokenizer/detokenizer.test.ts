import { TableDetokenizer } from "../../lib/tokenizer/detokenizer";
import { TokenClass, TokenTable } from "../../lib/tokenizer/token_table";
import { completeLength } from "../../lib/tokenizer/utf8";
import { uniform } from "../helpers/random";

/** One token a byte, then whole words and a control token. */
function byteTable(): TokenTable {
  const table = new TokenTable(260);
  for (let byte = 0; byte < 256; byte++) table.set(byte, Uint8Array.of(byte));
  table.set(256, " word");
  table.set(257, "<|control|>", TokenClass.Control);
  table.set(258, "👩");
  return table;
}

const whole = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

function stream(detokenizer: TableDetokenizer, ids: Iterable<number>): string[] {
  const chunks = Array.from(ids, (id) => detokenizer.push(id));
  return [...chunks, detokenizer.flush()];
}

describe("TableDetokenizer", () => {
  test.each(["안녕하세요, 세계!", "👩‍👩‍👧‍👦 🏳️‍🌈 🇰🇷", "e\u0301 ñ €", "\ufeffmark", "𝔘𝔫𝔦"])(
    "streams %s byte by byte unbroken",
    (text) => {
      const chunks = stream(new TableDetokenizer(byteTable(), false), Buffer.from(text));
      expect(chunks.join("")).toBe(text);
      for (const chunk of chunks) {
        expect(chunk).not.toContain("\ufffd");
        expect(chunk).not.toMatch(/\p{Surrogate}/u);
      }
      // Nothing is held back that is complete: every character comes with its last byte.
      expect(chunks.filter((chunk) => chunk !== "")).toEqual(Array.from(text));
    },
  );

  test("concatenated chunks equal TextDecoder on all bytes, for random bytes", () => {
    const random = uniform(1);
    const table = byteTable();
    // Mostly bytes that begin or continue characters, so that every kind of broken sequence comes up.
    const bytes = [
      0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff, 0xbb,
    ];
    for (let round = 0; round < 20000; round++) {
      const ids = Array.from({ length: 1 + Math.floor(random() * 8) }, () =>
        random() < 0.1 ? 256 + Math.floor(random() * 3) : bytes[Math.floor(random() * bytes.length)]!,
      );
      const all = Buffer.concat(ids.filter((id) => id !== 257).map((id) => table.bytes(id)));
      expect(stream(new TableDetokenizer(table, false), ids).join("")).toBe(whole(all));
    }
  });

  test("a character that is never completed becomes U+FFFD at the end", () => {
    const detokenizer = new TableDetokenizer(byteTable(), false);
    expect(detokenizer.push(0xf0)).toBe("");
    expect(detokenizer.push(0x9f)).toBe("");
    expect(detokenizer.flush()).toBe("\ufffd");
    expect(detokenizer.flush()).toBe("");
  });

  test("skips control tokens, or shows them when asked", () => {
    const ids = [65, 257, 66];
    expect(stream(new TableDetokenizer(byteTable(), false), ids).join("")).toBe("AB");
    expect(stream(new TableDetokenizer(byteTable(), false, { skipSpecial: false }), ids).join("")).toBe(
      "A<|control|>B",
    );
  });

  test("takes away one leading space of a text, not of a continuation", () => {
    const ids = [257, 256, 256];
    expect(stream(new TableDetokenizer(byteTable(), true), ids).join("")).toBe("word word");
    expect(stream(new TableDetokenizer(byteTable(), true, { continuation: true }), ids).join("")).toBe(" word word");
    expect(stream(new TableDetokenizer(byteTable(), true), [32, 32, 65]).join("")).toBe(" A");
  });

  test("ids outside of the vocabulary are refused", () => {
    const detokenizer = new TableDetokenizer(byteTable(), false);
    for (const id of [-1, 260, 1.5, NaN]) expect(() => detokenizer.push(id)).toThrow(RangeError);
    expect(detokenizer.push(259)).toBe("");
  });
});

test("completeLength holds back exactly what a streaming TextDecoder holds back", () => {
  const random = uniform(2);
  for (let round = 0; round < 20000; round++) {
    const bytes = Uint8Array.from({ length: 1 + Math.floor(random() * 5) }, () => Math.floor(random() * 256));
    // What comes after a complete prefix must not change how the prefix reads.
    const complete = completeLength(bytes);
    const prefix = whole(bytes.subarray(0, complete));
    const readings = [0x41, 0x80, 0xbf].map((next) => whole(Uint8Array.of(...bytes, next)));
    if (!readings.every((text) => text.startsWith(prefix))) throw new Error(`${bytes.join()} is read otherwise`);
    const rest = bytes.subarray(complete);
    // What is held back can become one character.
    if (rest.length > 0) {
      const completions = [[0x80], [0xa0], [0x90], [0x80, 0x80], [0xa0, 0x80], [0x90, 0x80, 0x80], [0x80, 0x80, 0x80]];
      const becomesOne = completions.some((more) => {
        const text = whole(Uint8Array.of(...rest, ...more));
        return Array.from(text).length === 1 && text !== "\ufffd";
      });
      if (!becomesOne) throw new Error(`${rest.join()} is held back and becomes no character`);
    }
  }
});
