import { Worker } from "node:worker_threads";
import { AddonLoadError, BitnetError, ClosedError, InvalidOptionError, ModelFormatError } from "../errors";
import { hasMarksBeyond, MOST_MARKS } from "./marks";

/**
 * The thread's program. It is a string, not a file, so that bundlers and test runners need no special care. It keeps the
 * tokenizer library, which takes up to a second for large vocabularies, away from the event loop.
 *
 * The library is `tokenizers` (native), or `@huggingface/tokenizers` (JavaScript), which gives the same ids more slowly,
 * where the first is not installed or does not load on this system, or must not be given the file: see
 * docs/dependencies.md and native_safety.ts.
 *
 * - parse: reads a tokenizer.json; answers everything but the vocabulary and merges as `header`, and the vocabulary as
 *   one string with the length and id of each piece.
 * - build: makes the tokenizer from a changed header and the parsed vocabulary without the pieces in `removed`.
 * - load: makes the tokenizer from a whole tokenizer.json.
 * - encode: ids of each text, without any special tokens.
 */
const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
// The native library does this by itself.
function checkMerges({ vocab, merges }) {
  for (const merge of merges) {
    const [left, right] = Array.isArray(merge) ? merge : merge.split(" ");
    for (const piece of [left, right, left + right]) {
      if (!Object.hasOwn(vocab, piece)) throw new Error("merge of the unknown token " + piece + ": out of vocabulary");
    }
  }
}
// The native library's regular expressions give up after ten million steps back, and then end the process; only runs of
// white space make known models' expressions step back.
const LONGEST_SPACE = 1 << 20;
function checkSpace(text) {
  if (text.length <= LONGEST_SPACE) return;
  for (let i = 0, run = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const space = code <= 32 || (code >= 128 && /\\s|\x85/.test(text[i]));
    run = space ? run + 1 : 0;
    if (run > LONGEST_SPACE) {
      throw Object.assign(new Error("the text has more than " + LONGEST_SPACE + " white-space characters in a row"), {
        kind: "text",
      });
    }
  }
}
const hasMarksBeyond = ${hasMarksBeyond.toString()};
function checkMarks(text) {
  if (!hasMarksBeyond(text, ${MOST_MARKS})) return;
  const problem = "the text has more than ${MOST_MARKS} combining marks in a row";
  throw Object.assign(new Error(problem), { kind: "text" });
}
const libraries = {
  native(path) {
    const { Tokenizer } = require(path);
    return async (json) => {
      const tokenizer = await Tokenizer.fromString(json);
      return async (texts) => {
        texts.forEach(checkSpace);
        const encodings = await tokenizer.encodeBatch(texts, { addSpecialTokens: false });
        return encodings.map((encoding) => encoding.getIds());
      };
    };
  },
  javascript(path) {
    const { Tokenizer } = require(path);
    return (text) => {
      const json = JSON.parse(text);
      checkMerges(json.model);
      const tokenizer = new Tokenizer(json, {});
      // A lone surrogate is U+FFFD, as in UTF-8.
      return (texts) => {
        texts.forEach(checkMarks);
        return texts.map((text) => tokenizer.encode(text.toWellFormed(), { add_special_tokens: false }).ids);
      };
    };
  },
};
function firstThatLoads(safe) {
  const reasons = [];
  for (const { kind, path, missing } of workerData.libraries) {
    try {
      if (kind === "native" && !safe) throw new Error("tokenizers must not be given this file's expressions");
      if (missing) throw new Error(missing);
      return libraries[kind](path);
    } catch (error) {
      reasons.push(String((error && error.message) || error).split("\\n")[0]);
    }
  }
  const error = new Error("no tokenizer library loads here: " + reasons.join("; "));
  throw Object.assign(error, { kind: "library" });
}
let make;
let encode;
let parsed;
const text = (chunks) => Buffer.concat(chunks).toString("utf8");
const operations = {
  parse({ chunks }) {
    parsed = JSON.parse(text(chunks));
    const { model, ...rest } = parsed ?? {};
    const { vocab, merges, ...settings } = model ?? {};
    const pieces = vocab && typeof vocab === "object" && !Array.isArray(vocab) ? Object.keys(vocab) : [];
    return {
      header: JSON.stringify({ ...rest, model: model && settings }),
      joined: pieces.join(""),
      lengths: Int32Array.from(pieces, (piece) => piece.length),
      ids: Float64Array.from(pieces, (piece) => vocab[piece]),
    };
  },
  async build({ header, removed, safe }) {
    const whole = JSON.parse(header);
    const { vocab, merges } = parsed.model;
    for (const piece of removed) delete vocab[piece];
    whole.model = { ...whole.model, vocab, merges };
    parsed = undefined;
    encode = await (make ??= firstThatLoads(safe))(JSON.stringify(whole));
  },
  async load({ chunks }) {
    encode = await (make ??= firstThatLoads(true))(text(chunks));
  },
  async encode({ texts }) {
    return (await encode(texts)).map((ids) => Int32Array.from(ids));
  },
};
parentPort.on("message", async ({ call, name, request }) => {
  try {
    parentPort.postMessage({ call, result: await operations[name](request) });
  } catch (error) {
    parentPort.postMessage({ call, failure: String((error && error.message) || error), kind: error && error.kind });
  }
});
`;

/** A tokenizer.json without vocabulary and merges, and the vocabulary packed so that it crosses threads at once. */
export interface ParsedTokenizer {
  header: string;
  joined: string;
  lengths: Int32Array;
  ids: Float64Array;
}

interface Answer {
  call: number;
  result?: unknown;
  failure?: string;
  /** What failed, where it is not the file. */
  kind?: "library" | "text";
}

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

const LIBRARIES = { native: "tokenizers", javascript: "@huggingface/tokenizers" } as const;

/** The library that the environment variable BITNET_TOKENIZERS names. */
export function libraryWanted(): string | undefined {
  const wanted = process.env.BITNET_TOKENIZERS;
  if (wanted === undefined || wanted === "") return undefined;
  if (wanted in LIBRARIES) return wanted;
  throw new InvalidOptionError(`BITNET_TOKENIZERS is "${wanted}"; it must be "native" or "javascript".`);
}

/** What the thread tries in turn. */
function librariesToTry(): { kind: string; path?: string; missing?: string }[] {
  const wanted = libraryWanted();
  const kinds = Object.entries(LIBRARIES).filter(([kind]) => !wanted || kind === wanted);
  return kinds.map(([kind, name]) => {
    try {
      return { kind, path: require.resolve(name) };
    } catch {
      return { kind, missing: `${name} is not installed` };
    }
  });
}

/** Milliseconds, besides one a character, that a text may take where the file brings expressions of its own. */
const PATIENCE_MS = 10_000;

/** A tokenizer library on a thread of its own. The thread keeps the process alive only while it works. */
export class Encoder {
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private calls = 0;
  private stopped: Error | undefined;
  /** Whether the file's own expressions could make a text take for ever. */
  private watched = false;

  constructor() {
    this.worker = new Worker(PROGRAM, {
      eval: true,
      workerData: { libraries: librariesToTry() },
      // The program is plain CommonJS: loaders given to the main thread would only slow its start.
      execArgv: [],
    });
    this.worker.unref();
    this.worker.on("message", (answer: Answer) => {
      this.settle(answer);
    });
    this.worker.on("error", (error: unknown) => {
      this.stop(new BitnetError(`The tokenizer's thread failed: ${String(error)}`, { cause: error }));
    });
    this.worker.on("exit", () => {
      this.stop(new BitnetError("The tokenizer's thread ended unexpectedly"));
    });
  }

  /** Reads a tokenizer.json given as UTF-8; rejects with `ModelFormatError` if it is no JSON. */
  async parse(chunks: Uint8Array[]): Promise<ParsedTokenizer> {
    return (await this.call("parse", { chunks })) as ParsedTokenizer;
  }

  /**
   * Makes the tokenizer from what `parse` read, with another header and without some pieces.
   * @param safe whether the native library may be given it
   */
  async build(header: string, removed: string[], safe: boolean): Promise<void> {
    this.watched = !safe;
    await this.call("build", { header, removed, safe });
  }

  /** Makes the tokenizer from a tokenizer.json; rejects with `ModelFormatError` if it contradicts itself. */
  async load(chunks: Uint8Array[]): Promise<void> {
    await this.call("load", { chunks });
  }

  /** Ids of each text, with nothing added. */
  async encode(texts: string[]): Promise<Int32Array[]> {
    const answer = this.call("encode", { texts }) as Promise<Int32Array[]>;
    if (!this.watched) return answer;
    const length = texts.reduce((sum, text) => sum + text.length, 0);
    const timer = setTimeout(() => {
      // After a blocked event loop the answer may have come already, and is taken first.
      setImmediate(() => setImmediate(giveUp));
    }, PATIENCE_MS + length);
    let over = false;
    const giveUp = (): void => {
      if (over) return;
      this.stop(new ModelFormatError("The tokenizer cannot be used: its regular expressions take too long for a text"));
      void this.worker.terminate();
    };
    return answer.finally(() => {
      over = true;
      clearTimeout(timer);
    });
  }

  /** Ends the thread; calls under way reject with `ClosedError`. Idempotent. */
  close(): void {
    if (this.stopped) return;
    this.stop(new ClosedError("The tokenizer was closed"));
    void this.worker.terminate();
  }

  private call(name: string, request: unknown): Promise<unknown> {
    if (this.stopped) return Promise.reject(this.stopped);
    const call = this.calls++;
    return new Promise((resolve, reject) => {
      this.pending.set(call, { resolve, reject });
      this.worker.ref();
      this.worker.postMessage({ call, name, request });
    });
  }

  private settle({ call, result, failure, kind }: Answer): void {
    const pending = this.pending.get(call);
    if (!pending) return;
    this.pending.delete(call);
    if (this.pending.size === 0) this.worker.unref();
    if (failure === undefined) pending.resolve(result);
    else if (kind === "text") pending.reject(new InvalidOptionError(`A text cannot be tokenized: ${failure}`));
    else if (kind === "library") pending.reject(new AddonLoadError(`The tokenizer cannot be used: ${failure}`));
    else pending.reject(new ModelFormatError(`The tokenizer cannot be used: ${failure}`));
  }

  private stop(reason: Error): void {
    this.stopped ??= reason;
    for (const { reject } of this.pending.values()) reject(this.stopped);
    this.pending.clear();
  }
}
