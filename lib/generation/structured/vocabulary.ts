import { allow, type TokenMask } from "../../sampling";
import type { Tokenizer } from "../../tokenizer";
import type { Automaton, State } from "./automaton";
import { plainLength, type PlainSteps } from "./plain_text";
import { TokenTree, type TokenText } from "./token_tree";

/**
 * A vocabulary by the bytes of its tokens. Most tokens are plain text (`plainLength`), and in most places of a text in
 * a form either any plain text may stand or hardly any. So where it does not matter which characters come, the mask of the
 * plain tokens is known by their length, and only the others are looked at one by one.
 */
export class Vocabulary {
  /** Words of a mask. */
  readonly words: number;
  private readonly entries: TokenText[] = [];
  private readonly plain: { id: number; length: number }[] = [];
  private readonly longest: number;
  private readonly others: TokenTree;
  private whole: TokenTree | undefined;
  private readonly plainMasks = new Map<number, TokenMask>();

  /** @param controls control tokens that count as text; the others never come */
  constructor(
    tokenizer: Pick<Tokenizer, "vocabularySize" | "tokenBytes" | "isSpecial">,
    vocabularySize: number,
    controls: ReadonlyMap<number, string> = new Map(),
  ) {
    this.words = Math.ceil(vocabularySize / 32);
    const others: TokenText[] = [];
    for (let id = 0; id < Math.min(vocabularySize, tokenizer.vocabularySize); id++) {
      const control = controls.get(id);
      if (control === undefined && tokenizer.isSpecial(id)) continue;
      const text = Buffer.from(control ?? tokenizer.tokenBytes(id)).toString("latin1");
      if (text.length === 0) continue;
      const entry = { id, text };
      this.entries.push(entry);
      const length = plainLength(text);
      if (length === undefined) others.push(entry);
      else this.plain.push({ id, length });
    }
    this.plain.sort((a, b) => a.length - b.length);
    this.longest = this.plain.at(-1)?.length ?? 0;
    this.others = new TokenTree(others);
  }

  /** The tokens after which the text is still in the automaton's language; `ends` too where it may end. */
  maskOf(automaton: Automaton, plain: PlainSteps, state: State, ends: Iterable<number>): TokenMask {
    const length = plain.count(state, this.longest);
    const known = length === undefined ? undefined : this.plainMask(length);
    const words = known ? known.words.slice() : new Int32Array(this.words);
    let count = (known?.count ?? 0) + (known ? this.others : this.tree).mark(automaton, state, words);
    if (state.accepting) {
      for (const id of new Set(ends)) {
        if (id >= this.words * 32) continue;
        allow(words, id);
        count++;
      }
    }
    return { words, count };
  }

  private get tree(): TokenTree {
    return (this.whole ??= new TokenTree(this.entries));
  }

  /** The plain tokens of up to so many characters. */
  private plainMask(most: number): TokenMask {
    let mask = this.plainMasks.get(most);
    if (mask) return mask;
    // A mask for shorter ones is a part of it.
    let shorter = most - 1;
    while (shorter > 0 && !this.plainMasks.has(shorter)) shorter--;
    const known = this.plainMasks.get(shorter);
    const words = known?.words.slice() ?? new Int32Array(this.words);
    let count = known?.count ?? 0;
    for (let i = count; i < this.plain.length; i++) {
      const token = this.plain[i];
      if (!token || token.length > most) break;
      allow(words, token.id);
      count++;
    }
    this.plainMasks.set(most, (mask = { words, count }));
    return mask;
  }
}
