/**
 * Byte-pair merging of single vocabulary entries, to find out whether `ignore_merges` makes a difference: it does only
 * where a token's own text does not merge back into that token.
 */

/**
 * The first token whose text does not merge into itself, or undefined.
 * @param tokens texts of the tokens that merging may yield.
 * @param merges pairs by falling priority.
 */
export function findUnreachableToken(
  tokens: readonly string[],
  merges: readonly (readonly [string, string])[],
): string | undefined {
  const ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
  return tokens.find((token) => mergeOnce(token, ranks) !== 1);
}

/** Number of pieces a text merges into. */
function mergeOnce(text: string, ranks: ReadonlyMap<string, number>): number {
  const pieces = Array.from(text);
  for (;;) {
    let best = Infinity;
    let at = -1;
    for (let i = 0; i + 1 < pieces.length; i++) {
      const rank = ranks.get(`${pieces[i]} ${pieces[i + 1]}`);
      if (rank !== undefined && rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return pieces.length;
    pieces.splice(at, 2, `${pieces[at]}${pieces[at + 1]}`);
  }
}
