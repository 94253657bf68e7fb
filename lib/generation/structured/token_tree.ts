import { allow } from "../../sampling";
import type { Automaton, State } from "./automaton";

/** A token and the bytes that it stands for. */
export interface TokenText {
  readonly id: number;
  readonly text: Uint8Array;
}

/** Tokens by their bytes: nodes in the order of a depth-first walk. */
export class TokenTree {
  /** Of each node: its byte, its depth, the node behind its last descendant. */
  private readonly bytes: Uint8Array;
  private readonly depths: Uint16Array;
  private readonly skips: Int32Array;
  /** Tokens of node n: `tokens[firstTokens[n]]` up to `firstTokens[n + 1]`. */
  private readonly firstTokens: Int32Array;
  private readonly tokens: Int32Array;

  constructor(entries: readonly TokenText[]) {
    const sorted = [...entries].sort((a, b) => Buffer.compare(a.text, b.text));
    const bytes: number[] = [];
    const depths: number[] = [];
    const skips: number[] = [];
    const firstTokens: number[] = [];
    const path: number[] = [];
    let previous: Uint8Array = new Uint8Array(0);
    for (const [index, { text }] of sorted.entries()) {
      let same = 0;
      while (same < previous.length && same < text.length && previous[same] === text[same]) same++;
      for (const node of path.splice(same)) skips[node] = bytes.length;
      for (let i = same; i < text.length; i++) {
        path.push(bytes.length);
        firstTokens.push(index);
        depths.push(i);
        bytes.push(text[i] ?? 0);
      }
      previous = text;
    }
    for (const node of path) skips[node] = bytes.length;
    firstTokens.push(sorted.length);
    this.bytes = Uint8Array.from(bytes);
    this.depths = Uint16Array.from(depths);
    this.skips = Int32Array.from(skips);
    this.firstTokens = Int32Array.from(firstTokens);
    this.tokens = Int32Array.from(sorted, ({ id }) => id);
  }

  /** Sets the bits of the tokens after which the text is still in the automaton's language; returns how many. */
  mark(automaton: Automaton, state: State, words: Int32Array): number {
    const { bytes, depths, skips, firstTokens, tokens } = this;
    const states: State[] = [state];
    let count = 0;
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node] ?? 0;
      const next = automaton.step(states[depth] ?? state, bytes[node] ?? 0);
      if (!next) {
        node = skips[node] ?? bytes.length;
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
