/** Texts for the comparison with the bundled model, written for this project. */

/** Prose near to what the model was trained on, and text far from it. */
export const TEXTS: Readonly<Record<string, string>> = {
  story:
    "There was once a miller's daughter who kept seven grey geese beside a slow green river. Every evening, when the " +
    "wheel stood still, she counted them: one, two, three, four, five, six, seven. But on the night of the first frost " +
    'she counted only six. "Where is your sister?" she asked the eldest goose. "She has gone to look for the moon," ' +
    'said the goose, "for it fell into the water an hour ago, and nobody else would help." So the girl took her ' +
    "father's lantern and a loaf of bread, and walked along the bank until the reeds grew taller than her head. There, " +
    "in a little boat made of bark, sat the seventh goose, very cold and very proud, with something round and silver " +
    "under her wing.\n\n",
  dialogue:
    '"I can\'t stay," whispered the old king, "and you\'ll not follow me."\n\n"Then we\'ve 3 wishes left," said the ' +
    'fox, "and I\'d spend the first on supper!"',
  korean: "옛날 옛적에 작은 마을에 토끼 한 마리가 살았어요. 토끼는 매일 아침 노래를 불렀답니다.",
  emoji: "The cat 🐈 and the family 👨‍👩‍👧‍👦 saw a rainbow 🌈 — “oh!” 🇰🇷👍🏽",
};

/** Strings on which tokenisers go wrong. */
export const TOKENIZER_TEXTS: readonly string[] = [
  "",
  " ",
  "  two  spaces   three ",
  "a\n\nb\r\n\r\nc\n \n  d\t\te",
  "tabs\tand\u00a0no-break\u3000wide spaces\u2009thin",
  "I'LL I'll we'Re they'VE it'S DON'T 'tis o'clock",
  "12345678 3.14159 1,000,000 ٣٤٥",
  "Hello,world!!!...???\n--- ***",
  "e\u0301 \u00e9 \u1e9b\u0323 ﬁ ǅ ß",
  "한국어 텍스트, 日本語テキスト, русский",
  "👩🏽‍🚀🏳️‍🌈\ufe0f\u200d",
  "\u0000\u0001\u007f\ufffd",
  "once upon a time ONCE UPON A TIME",
  "end with spaces   \n   ",
];

/** Prompts that are continued greedily. */
export const GREEDY_PROMPTS: readonly string[] = [
  "The tailor looked at the giant and said",
  "Long ago, in a house at the edge of the forest, there lived",
];
