// Strings to hold tokenizers against one another with: seeded, so that a difference can be found again.

/** Uniform numbers in [0, 1) (mulberry32). */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS =
  "the The THE there's we'RE I'm don’t o'clock naïve résumé coöperate 12 345 6789 1234567 3.14159 1,000,000 0x1F $9.99 " +
  "hello world foo_bar camelCase https://example.org/a?b=c&d=e#f user@example.com C++ #include <stdio.h> {}[]()<>" +
  " été straße Ğ ﬁ ½ ² Ⅳ ① Привет мир Ελλάδα שלום مرحبا ١٢٣ नमस्ते ไทย 你好 世界 こんにちは カタカナ 안녕하세요 한글 ﷺ";

// First and last code points of the ranges that are drawn from.
const RANGES = [
  [0x20, 0x7e],
  [0x20, 0x7e],
  [0xa0, 0xff],
  [0x100, 0x24f],
  [0x2b0, 0x36f],
  [0x370, 0x52f],
  [0x590, 0x6ff],
  [0x900, 0x97f],
  [0xe00, 0xe7f],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x2070, 0x20cf],
  [0x2100, 0x22ff],
  [0x2500, 0x27bf],
  [0x3000, 0x30ff],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xe000, 0xe0ff],
  [0xfb00, 0xfdff],
  [0xfe00, 0xffef],
  [0x10000, 0x100ff],
  [0x1d400, 0x1d7ff],
  [0x1f300, 0x1faff],
  [0x20000, 0x2a6df],
  [0xe0020, 0xe007f],
];

const SPACES = [
  " ",
  " ",
  " ",
  "  ",
  "   ",
  "\n",
  "\n\n",
  "\r\n",
  "\t",
  "\t\t ",
  " \n ",
  "\u00a0",
  "\u2009",
  "\u3000",
  "\v",
  "\f",
  "",
];
const JOINED = [
  "👩‍👩‍👧‍👦",
  "🏳️‍🌈",
  "👍🏽",
  "🇩🇪🇫🇷",
  "e\u0301",
  "a\u0308\u0304",
  "ẛ̣",
  "각",
  "각",
  "क्षि",
  "\u200b",
  "\ufeff",
  "\u200d",
];
const ASCII = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/** `count` strings; without control characters where `plain`. */
export function fuzz(count, seed = 1, { plain = false } = {}) {
  const random = uniform(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const words = WORDS.split(" ");
  const run = (make, most) => Array.from({ length: 1 + Math.floor(random() * most) }, make).join("");
  const pieces = [
    () => pick(words),
    () => pick(words),
    () => pick(SPACES),
    () => pick(SPACES),
    () => String(Math.floor(random() * 10 ** Math.ceil(random() * 12))),
    () => run(() => pick([...ASCII]), 6),
    () => pick(JOINED),
    () => {
      const [first, last] = pick(RANGES);
      return run(() => String.fromCodePoint(first + Math.floor(random() * (last - first + 1))), 6);
    },
    () => run(() => pick([..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'"]), 12),
    () => (plain ? " " : String.fromCharCode(Math.floor(random() * 32))),
    () => pick(["'s", "'S", "'ll", "'LL", "'t", "’s", "'d've"]),
  ];
  return Array.from({ length: count }, () => run(() => pick(pieces)(), 20));
}
