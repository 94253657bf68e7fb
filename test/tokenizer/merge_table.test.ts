/** Merges read in portions give what looking each side up by itself gives, however the vocabulary is ordered. */
import { ModelFormatError } from "../../lib";
import { StringTable } from "../../lib/files/gguf/string_table";
import { MergeTable } from "../../lib/tokenizer/byte_level/merge_table";
import { PieceIndex } from "../../lib/tokenizer/byte_level/piece_index";
import { Slicer } from "../../lib/tokenizer/slices";

let seed = 1;
/** A whole number below `limit`. */
function random(limit: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
  return seed % limit;
}

interface Vocabulary {
  tokens: string[];
  merges: [left: string, right: string][];
}

/** Tokens made by merging, more than one portion of them, in the order of their merges. */
function vocabulary(count: number): Vocabulary {
  const tokens = ["a", "b", "c", "d", "e", "f", "g", "h", "é", "語"];
  const merges: [string, string][] = [];
  const known = new Set(tokens);
  while (tokens.length < count) {
    const [left, right] = [tokens[random(tokens.length)], tokens[random(tokens.length)]] as [string, string];
    const merged = left + right;
    if (merged.length > 24 || known.has(merged)) continue;
    known.add(merged);
    tokens.push(merged);
    // Each with all pairs that make it.
    for (let i = 1; i < merged.length; i++) {
      const pair: [string, string] = [merged.slice(0, i), merged.slice(i)];
      if (known.has(pair[0]) && known.has(pair[1])) merges.push(pair);
    }
  }
  return { tokens, merges };
}

function indexOf(tokens: string[], hidden: ReadonlySet<number> = new Set()): PieceIndex {
  const index = new PieceIndex(StringTable.from(tokens), tokens.length);
  for (let id = 0; id < tokens.length; id++) if (!hidden.has(id)) index.add(id);
  return index;
}

const read = (merges: [string, string][], index: PieceIndex): Promise<MergeTable> =>
  MergeTable.read(StringTable.from(merges.map((pair) => pair.join(" "))), index, new Slicer());

async function expectMerges({ tokens, merges }: Vocabulary, hidden?: ReadonlySet<number>): Promise<void> {
  const table = await read(merges, indexOf(tokens, hidden));
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (!hidden?.has(id)) ids.set(token, id);
  for (const [rank, [left, right]] of merges.entries()) {
    const found = table.rank(ids.get(left) ?? -1, ids.get(right) ?? -1);
    expect(found).toBe(rank);
    expect(table.result(found)).toBe(ids.get(left + right));
  }
  expect(table.rank(ids.get("a") ?? -1, tokens.length)).toBe(-1);
}

function shuffled<T>(list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const k = random(i + 1);
    [out[i], out[k]] = [out[k] as T, out[i] as T];
  }
  return out;
}

const made = vocabulary(1500);

test("in the order of the merges, as vocabularies mostly are", async () => {
  expect(made.merges.length).toBeGreaterThan(1024);
  await expectMerges(made);
});

test("in any order", async () => {
  await expectMerges({ ...made, tokens: shuffled(made.tokens) });
  await expectMerges({ ...made, merges: shuffled(made.merges) });
});

test("where tokens read the same, the last counts", async () => {
  await expectMerges({ ...made, tokens: [...made.tokens, ...shuffled(made.tokens).slice(0, 200)] });
});

test("what cannot be found is no token, even where it reads right", async () => {
  // A control token in front of the text token that it reads like.
  const tokens = [...made.tokens];
  const at = tokens.indexOf(made.merges[700]?.join("") ?? "");
  tokens.splice(at, 0, tokens[at] ?? "");
  await expectMerges({ ...made, tokens }, new Set([at]));
  const index = indexOf(made.tokens, new Set([at]));
  await expect(read(made.merges, index)).rejects.toThrow(ModelFormatError);
});

test.each(["a", "a x", "x a", "a  b", "a é語é語é語é語é語é語é語é語é語é語é語é語é語", ""])(
  "refuses %j and names it",
  async (line) => {
    const lines = made.merges.map((pair) => pair.join(" "));
    lines[900] = line;
    const reading = MergeTable.read(StringTable.from(lines), indexOf(made.tokens), new Slicer());
    await expect(reading).rejects.toThrow(`merge 900, ${JSON.stringify(line)}`);
  },
);
