import { allow, type TokenMask } from "../../sampling";
import { Slicer, type Tokenizer } from "../../tokenizer";
import type { Automaton, State } from "./automaton";
import { plainLength, type PlainSteps } from "./plain_text";
import { readTokenTexts, sortedByBytes } from "./token_texts";
import { TokenTree } from "./token_tree";

/**
 * A vocabulary by the bytes of its tokens. Most tokens are plain text (`plainLength`), and in most places of a text in
 * a form either any plain text may stand or hardly any. So where it does not matter which characters come, the mask of the
 * plain tokens is known by their length, and only the others are looked at one by one.
 */
export class Vocabulary {
  private readonly plainMasks = new Map<number, TokenMask>();

  /**
   * @param words of a mask
   * @param plain by their numbers of characters
   * @param others all tokens that are not plain
   */
  private constructor(
    readonly words: number,
    private readonly plain: readonly (readonly number[] | undefined)[],
    private readonly others: TokenTree,
    private readonly whole: TokenTree,
  ) {}

  /**
   * Reads a vocabulary in short portions, between which other work goes on.
   * @param controls control tokens that count as text; the others never come
   */
  static async read(
    tokenizer: Pick<Tokenizer, "vocabularySize" | "tokenBytes" | "isSpecial">,
    vocabularySize: number,
    controls: ReadonlyMap<number, string> = new Map(),
  ): Promise<Vocabulary> {
    const slicer = new Slicer();
    const texts = await readTokenTexts(tokenizer, vocabularySize, controls, slicer);
    const { data, starts, ids } = texts;
    const order = await sortedByBytes(texts, slicer);
    const plain: number[][] = [];
    const others = new Int32Array(order.length);
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      if (i % 1024 === 0) await slicer.pause();
      const entry = order[i] ?? 0;
      const length = plainLength(data, starts[entry] ?? 0, starts[entry + 1] ?? 0);
      if (length === undefined) others[count++] = entry;
      else (plain[length] ??= []).push(ids[entry] ?? 0);
    }
    return new Vocabulary(
      Math.ceil(vocabularySize / 32),
      plain,
      await TokenTree.make(texts, others.subarray(0, count), slicer),
      await TokenTree.make(texts, order, slicer),
    );
  }

  /** The tokens after which the text is still in the automaton's language; `ends` too where it may end. */
  maskOf(automaton: Automaton, plain: PlainSteps, state: State, ends: Iterable<number>): TokenMask {
    const length = plain.count(state, this.plain.length);
    const known = length === undefined ? undefined : this.plainMask(length);
    const words = known ? known.words.slice() : new Int32Array(this.words);
    let count = (known?.count ?? 0) + (known ? this.others : this.whole).mark(automaton, state, words);
    if (state.accepting) {
      for (const id of new Set(ends)) {
        if (id >= this.words * 32) continue;
        allow(words, id);
        count++;
      }
    }
    return { words, count };
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
    for (const ids of this.plain.slice(shorter + 1, most + 1)) {
      for (const id of ids ?? []) {
        allow(words, id);
        count++;
      }
    }
    this.plainMasks.set(most, (mask = { words, count }));
    return mask;
  }
}
