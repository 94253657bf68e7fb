import type { TokenMask } from "../../sampling";
import type { Tokenizer } from "../../tokenizer";
import type { Automaton, State } from "./automaton";

/** The tokens of a vocabulary by their bytes: nodes in the order of a depth-first walk. */
export class VocabularyTree {
  /** Of each node: its byte, its depth, the node behind its last descendant. */
  private readonly bytes: Uint8Array;
  private readonly depths: Uint16Array;
  private readonly skips: Int32Array;
  /** Tokens of node n: `tokens[firstTokens[n]]` up to `firstTokens[n + 1]`. */
  private readonly firstTokens: Int32Array;
  private readonly tokens: Int32Array;
  readonly words: number;

  /** @param controls control tokens that count as text; the others never come */
  constructor(
    tokenizer: Pick<Tokenizer, "vocabularySize" | "tokenBytes" | "isSpecial">,
    vocabularySize: number,
    controls: ReadonlyMap<number, string> = new Map(),
  ) {
    this.words = Math.ceil(vocabularySize / 32);
    const entries: { id: number; text: Uint8Array }[] = [];
    for (let id = 0; id < Math.min(vocabularySize, tokenizer.vocabularySize); id++) {
      const control = controls.get(id);
      if (control === undefined && tokenizer.isSpecial(id)) continue;
      const text = control === undefined ? tokenizer.tokenBytes(id) : Buffer.from(control);
      if (text.length > 0) entries.push({ id, text });
    }
    entries.sort((a, b) => Buffer.compare(a.text, b.text));
    const bytes: number[] = [];
    const depths: number[] = [];
    const skips: number[] = [];
    const firstTokens: number[] = [];
    const tokens: number[] = [];
    const path: number[] = [];
    let previous = new Uint8Array(0);
    for (const { id, text } of entries) {
      let same = 0;
      while (same < previous.length && same < text.length && previous[same] === text[same]) same++;
      for (const node of path.splice(same)) skips[node] = bytes.length;
      for (let i = same; i < text.length; i++) {
        path.push(bytes.length);
        firstTokens.push(tokens.length);
        depths.push(i);
        bytes.push(text[i] ?? 0);
      }
      tokens.push(id);
      previous = Uint8Array.from(text);
    }
    for (const node of path) skips[node] = bytes.length;
    firstTokens.push(tokens.length);
    this.bytes = Uint8Array.from(bytes);
    this.depths = Uint16Array.from(depths);
    this.skips = Int32Array.from(skips);
    this.firstTokens = Int32Array.from(firstTokens);
    this.tokens = Int32Array.from(tokens);
  }

  /** The tokens after which the text is still in the automaton's language; `ends` too where it may end. */
  maskOf(automaton: Automaton, state: State, ends: Iterable<number>): TokenMask {
    const words = new Int32Array(this.words);
    let count = 0;
    const allow = (id: number): void => {
      const word = id >>> 5;
      words[word] = (words[word] ?? 0) | (1 << (id & 31));
      count++;
    };
    const { bytes, depths, skips, firstTokens, tokens } = this;
    const states: State[] = [state];
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node] ?? 0;
      const next = automaton.step(states[depth] ?? state, bytes[node] ?? 0);
      if (!next) {
        node = skips[node] ?? bytes.length;
        continue;
      }
      states[depth + 1] = next;
      const end = firstTokens[node + 1] ?? 0;
      for (let i = firstTokens[node] ?? 0; i < end; i++) allow(tokens[i] ?? 0);
      node++;
    }
    if (state.accepting) for (const id of new Set(ends)) if (id < this.words * 32) allow(id);
    return { words, count };
  }
}
