/** What in an Oniguruma expression of `pre_tokenizers.ts` JavaScript writes otherwise. */
const REWRITTEN: readonly [RegExp, string][] = [
  // Ignoring case, Unicode has two small letters S.
  [/\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)/g, "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"],
  // JavaScript's \s has U+FEFF and lacks U+0085.
  [/\\s/g, "\\p{White_Space}"],
  [/\\S/g, "\\P{White_Space}"],
];

/** An expression of a pre-tokenizer for JavaScript's engine. */
export function javaScriptExpression(pattern: string): RegExp {
  return new RegExp(
    REWRITTEN.reduce((rewritten, [from, to]) => rewritten.replace(from, to), pattern),
    "gu",
  );
}

/** The pieces of a text: what the first expression matches and what lies between, each cut by the expressions that follow. */
export function* splitText(text: string, expressions: readonly RegExp[], level = 0): Generator<string, void> {
  const expression = expressions[level];
  if (expression === undefined) {
    if (text !== "") yield text;
    return;
  }
  let at = 0;
  while (at < text.length) {
    // The object is shared by all texts that are being cut, so its place is set each time.
    expression.lastIndex = at;
    const match = expression.exec(text);
    const start = match ? match.index : text.length;
    if (start > at) yield* splitText(text.slice(at, start), expressions, level + 1);
    if (!match) return;
    at = start + match[0].length;
    if (level + 1 === expressions.length) yield match[0];
    else yield* splitText(match[0], expressions, level + 1);
  }
}
