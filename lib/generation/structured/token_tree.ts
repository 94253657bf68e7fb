import { allow } from "../../sampling";
import type { Slicer } from "../../tokenizer";
import type { Automaton, State } from "./automaton";
import type { TokenTexts } from "./token_texts";

/** Entries that are added between two looks at the clock. */
const PORTION = 1024;

interface TreeArrays {
  /** Of each node: its byte, its depth, the node behind its last descendant. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  readonly skips: Int32Array;
  /** Tokens of node n: `tokens[firstTokens[n]]` up to `firstTokens[n + 1]`. */
  readonly firstTokens: Int32Array;
  readonly tokens: Int32Array;
}

/** Tokens by their bytes: nodes in the order of a depth-first walk. */
export class TokenTree {
  private constructor(private readonly arrays: TreeArrays) {}

  /** @param order the entries that it shall have, in the order of their bytes */
  static async make({ data, starts, ids }: TokenTexts, order: Int32Array, slicer: Slicer): Promise<TokenTree> {
    let most = 0;
    for (const entry of order) most += starts[entry + 1]! - starts[entry]!;
    const bytes = new Uint8Array(most);
    const depths = new Uint16Array(most);
    const skips = new Int32Array(most);
    const firstTokens = new Int32Array(most + 1);
    const tokens = new Int32Array(order.length);
    const path: number[] = [];
    let size = 0;
    let [previous, previousLength] = [0, 0];
    for (let index = 0; index < order.length; index++) {
      if (index % PORTION === 0) await slicer.pause();
      const entry = order[index]!;
      const start = starts[entry]!;
      const length = starts[entry + 1]! - start;
      let same = 0;
      while (same < previousLength && same < length && data[start + same] === data[previous + same]) same++;
      while (path.length > same) skips[path.pop()!] = size;
      for (let i = same; i < length; i++) {
        path.push(size);
        firstTokens[size] = index;
        depths[size] = i;
        bytes[size++] = data[start + i]!;
      }
      tokens[index] = ids[entry]!;
      [previous, previousLength] = [start, length];
    }
    for (const node of path) skips[node] = size;
    firstTokens[size] = order.length;
    return new TokenTree({
      bytes: bytes.slice(0, size),
      depths: depths.slice(0, size),
      skips: skips.slice(0, size),
      firstTokens: firstTokens.slice(0, size + 1),
      tokens,
    });
  }

  /** Sets the bits of the tokens after which the text is still in the automaton's language; returns how many. */
  mark(automaton: Automaton, state: State, words: Int32Array): number {
    const { bytes, depths, skips, firstTokens, tokens } = this.arrays;
    const size = bytes.length;
    const states: State[] = [state];
    let count = 0;
    for (let node = 0; node < size;) {
      const depth = depths[node]!;
      const next = automaton.step(states[depth]!, bytes[node]!);
      if (!next) {
        node = skips[node]!;
        continue;
      }
      states[depth + 1] = next;
      const end = firstTokens[node + 1]!;
      for (let i = firstTokens[node]!; i < end; i++) {
        allow(words, tokens[i]!);
        count++;
      }
      node++;
    }
    return count;
  }
}
