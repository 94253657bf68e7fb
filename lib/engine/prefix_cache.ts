import type { NativeContext } from "../../types/addon";
import { BLOCK_POSITIONS } from "./blocks";

/** One block of tokens behind those of its parents. */
interface Node {
  readonly tokens: readonly number[];
  readonly parent: Node | undefined;
  readonly children: Map<string, Node>;
  /** Blocks from the root to here. */
  readonly depth: number;
  lastUsed: number;
  /** Where nothing follows: the native sequence that ends with this block. */
  native: number | undefined;
}

/** A native sequence whose first `length` positions are those that were looked for. */
export interface PrefixMatch {
  native: number;
  length: number;
}

/**
 * Keys and values of texts that are over, for others that begin the same way: a radix tree whose edges are blocks of the
 * KV cache. Each leaf owns a native sequence; what leaves have in common is one block by reference counts, as far as one
 * was forked from the other. Blocks go one at a time, the longest unused leaf first.
 */
export class PrefixCache {
  private readonly root: Node = makeNode([], undefined);
  private readonly leaves = new Set<Node>();
  private clock = 0;
  private count = 0;

  /** @param mostBlocks blocks that are held at most; 0 turns the cache off */
  constructor(
    private readonly context: Pick<NativeContext, "truncateSequence" | "releaseSequence">,
    private readonly mostBlocks: number,
  ) {}

  /** Blocks that are held. */
  get blocks(): number {
    return this.count;
  }

  /** Takes over a native sequence that has the keys and values of `tokens`; incomplete blocks are dropped. */
  retain(native: number, tokens: readonly number[]): void {
    const blocks = Math.min(Math.floor(tokens.length / BLOCK_POSITIONS), this.mostBlocks);
    const path = this.walk(tokens, blocks);
    const end = path.at(-1) ?? this.root;
    this.touch(end);
    if (end.depth === blocks) {
      this.context.releaseSequence(native);
      return;
    }
    if (end.native !== undefined) this.releaseLeaf(end);
    this.context.truncateSequence(native, blocks * BLOCK_POSITIONS);
    let node = end;
    while (node.depth < blocks) node = this.append(node, blockOf(tokens, node.depth));
    node.native = native;
    this.leaves.add(node);
    while (this.count > this.mostBlocks) this.evict();
  }

  /** The longest known beginning of `tokens`, at most `most` positions of it; undefined if there is none. */
  match(tokens: ArrayLike<number>, most: number): PrefixMatch | undefined {
    if (this.count === 0) return undefined;
    const path = this.walk(tokens, Math.ceil(Math.min(most, tokens.length) / BLOCK_POSITIONS));
    let end = path.at(-1) ?? this.root;
    let length = end.depth * BLOCK_POSITIONS;
    // The block after the last common one may begin with the same tokens, too.
    let further = 0;
    for (const child of end.children.values()) {
      let same = 0;
      while (same < BLOCK_POSITIONS && child.tokens[same] === tokens[length + same]) same++;
      if (same > further) [further, end] = [same, child];
    }
    length = Math.min(length + further, most);
    if (length <= 0) return undefined;
    this.touch(end);
    const { native } = this.leafBelow(end);
    return native === undefined ? undefined : { native, length };
  }

  /** Drops the block that was unused for longest; false if there is none. */
  evict(): boolean {
    let oldest: Node | undefined;
    for (const leaf of this.leaves) if (!oldest || leaf.lastUsed < oldest.lastUsed) oldest = leaf;
    if (!oldest) return false;
    const { parent, native } = oldest;
    this.leaves.delete(oldest);
    this.count--;
    parent?.children.delete(keyOf(oldest.tokens));
    if (native === undefined) return true;
    if (!parent || parent.depth === 0 || parent.children.size > 0) this.context.releaseSequence(native);
    else {
      this.context.truncateSequence(native, parent.depth * BLOCK_POSITIONS);
      parent.native = native;
      this.leaves.add(parent);
    }
    return true;
  }

  clear(): void {
    while (this.evict());
  }

  /** The nodes of the blocks at the start of `tokens` that are known, at most `blocks`. */
  private walk(tokens: ArrayLike<number>, blocks: number): Node[] {
    const path: Node[] = [];
    let node: Node | undefined = this.root;
    for (let depth = 0; depth < blocks; depth++) {
      if ((depth + 1) * BLOCK_POSITIONS > tokens.length) break;
      node = node.children.get(keyOf(blockOf(tokens, depth)));
      if (!node) break;
      path.push(node);
    }
    return path;
  }

  private append(parent: Node, tokens: readonly number[]): Node {
    const node = makeNode(tokens, parent);
    node.lastUsed = this.clock;
    parent.children.set(keyOf(tokens), node);
    this.count++;
    return node;
  }

  /** Nobody is a leaf any more who has something behind. */
  private releaseLeaf(node: Node): void {
    if (node.native !== undefined) this.context.releaseSequence(node.native);
    node.native = undefined;
    this.leaves.delete(node);
  }

  private leafBelow(node: Node): Node {
    let leaf = node;
    for (;;) {
      const [first] = leaf.children.values();
      if (!first) return leaf;
      leaf = first;
    }
  }

  private touch(end: Node): void {
    this.clock++;
    for (let node: Node | undefined = end; node; node = node.parent) node.lastUsed = this.clock;
  }
}

function makeNode(tokens: readonly number[], parent: Node | undefined): Node {
  return { tokens, parent, children: new Map(), depth: parent ? parent.depth + 1 : 0, lastUsed: 0, native: undefined };
}

function blockOf(tokens: ArrayLike<number>, index: number): number[] {
  return Array.from({ length: BLOCK_POSITIONS }, (_, i) => tokens[index * BLOCK_POSITIONS + i] ?? -1);
}

function keyOf(tokens: readonly number[]): string {
  return tokens.join();
}
