import { allow } from "../../sampling";
import type { Automaton, State } from "./automaton";

/** A token and the bytes that it stands for, each as one character: strings sort much faster than arrays. */
export interface TokenText {
  readonly id: number;
  readonly text: string;
}

/** Tokens by their bytes: nodes in the order of a depth-first walk. */
export class TokenTree {
  private readonly size: number;
  /** Of each node: its byte, its depth, the node behind its last descendant. */
  private readonly bytes: Uint8Array;
  private readonly depths: Uint16Array;
  private readonly skips: Int32Array;
  /** Tokens of node n: `tokens[firstTokens[n]]` up to `firstTokens[n + 1]`. */
  private readonly firstTokens: Int32Array;
  private readonly tokens: Int32Array;

  constructor(entries: readonly TokenText[]) {
    const sorted = [...entries].sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
    const most = sorted.reduce((sum, { text }) => sum + text.length, 0);
    const bytes = new Uint8Array(most);
    const depths = new Uint16Array(most);
    const skips = new Int32Array(most);
    const firstTokens = new Int32Array(most + 1);
    const path: number[] = [];
    let size = 0;
    let previous = "";
    for (const [index, { text }] of sorted.entries()) {
      let same = 0;
      while (same < previous.length && text.charCodeAt(same) === previous.charCodeAt(same)) same++;
      while (path.length > same) skips[path.pop() ?? 0] = size;
      for (let i = same; i < text.length; i++) {
        path.push(size);
        firstTokens[size] = index;
        depths[size] = i;
        bytes[size] = text.charCodeAt(i);
        size++;
      }
      previous = text;
    }
    for (const node of path) skips[node] = size;
    firstTokens[size] = sorted.length;
    this.size = size;
    this.bytes = bytes.slice(0, size);
    this.depths = depths.slice(0, size);
    this.skips = skips.slice(0, size);
    this.firstTokens = firstTokens.slice(0, size + 1);
    this.tokens = Int32Array.from(sorted, ({ id }) => id);
  }

  /** Sets the bits of the tokens after which the text is still in the automaton's language; returns how many. */
  mark(automaton: Automaton, state: State, words: Int32Array): number {
    const { size, bytes, depths, skips, firstTokens, tokens } = this;
    const states: State[] = [state];
    let count = 0;
    for (let node = 0; node < size;) {
      const depth = depths[node] ?? 0;
      const next = automaton.step(states[depth] ?? state, bytes[node] ?? 0);
      if (!next) {
        node = skips[node] ?? size;
        continue;
      }
      states[depth + 1] = next;
      const end = firstTokens[node + 1] ?? 0;
      for (let i = firstTokens[node] ?? 0; i < end; i++) {
        allow(words, tokens[i] ?? 0);
        count++;
      }
      node++;
    }
    return count;
  }
}
