/**
 * The tokens of one text, and how far the KV cache has them. Its owner (a generation, a chat session) decides what the
 * tokens are; the scheduler computes them; the KV pool may take the cache away again, after which they are recomputed.
 */
export class Sequence {
  /** Prompt and what was generated so far. */
  readonly tokens: number[] = [];
  /** Tokens whose keys and values are in the cache. */
  computed = 0;
  /** The addon's number for it; undefined while it has no cache. */
  native: number | undefined;
  /** Step in which it was last used: the oldest idle sequence gives up its cache first. */
  lastUsed = 0;

  /** Tokens that are known but not computed. */
  get pending(): number {
    return this.tokens.length - this.computed;
  }

  /** How many tokens at the start of `tokens` are already in the cache. */
  commonPrefix(tokens: ArrayLike<number>): number {
    const most = Math.min(this.computed, tokens.length);
    let length = 0;
    while (length < most && this.tokens[length] === tokens[length]) length++;
    return length;
  }

  /** Makes the tokens those of `tokens`, of which the cache has `kept` now. */
  replaceTokens(tokens: ArrayLike<number>, kept: number): void {
    this.tokens.length = 0;
    for (const token of Array.from(tokens)) this.tokens.push(token);
    this.computed = kept;
  }
}
