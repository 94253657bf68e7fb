/**
 * `NativeContext` by the letter of types/addon.d.ts, with a toy language model in place of the decoder: the logits of a
 * position are a hash of all tokens up to it. So a token that was fed twice, left out or taken from another sequence
 * changes everything that comes after it. For fault injection a test can hold forwards back and let them fail.
 */
import type { ForwardBatch, ForwardResult, NativeContext } from "../../types/addon";

const BLOCK = 32;

/** An error as the addon makes them. */
export function nativeError(code: string): Error {
  return Object.assign(new Error(`fake ${code}`), { code });
}

/** Logits of what follows `tokens`: values between 0 and 8, pseudo-random, all distinct in practice. */
export function toyLogits(tokens: readonly number[], vocabularySize: number): Float32Array {
  let hash = 2166136261;
  for (const token of tokens) hash = Math.imul(hash ^ (token + 1), 16777619);
  return Float32Array.from({ length: vocabularySize }, (_, id) => {
    let mixed = Math.imul(hash ^ Math.imul(id + 1, 0x9e3779b1), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 29;
  });
}

/** What `count` greedy steps after `prompt` give. */
export function toyContinuation(prompt: readonly number[], count: number, vocabularySize: number): number[] {
  const tokens = [...prompt];
  while (tokens.length < prompt.length + count) tokens.push(ranked(toyLogits(tokens, vocabularySize))[0]!);
  return tokens.slice(prompt.length);
}

function ranked(logits: Float32Array): number[] {
  return [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
}

interface Running {
  batch: ForwardBatch;
  resolve: (result: ForwardResult) => void;
  reject: (error: Error) => void;
}

export class FakeContext implements NativeContext {
  /** Every batch that was accepted. */
  readonly batches: ForwardBatch[] = [];
  /** While true, forwards do not come to an end until `finish` is called. */
  held = false;
  /** Codes with which the next forwards reject. */
  readonly failures: string[] = [];
  cancels = 0;
  closed = false;
  readonly memoryBytes = 0;
  readonly blockBytes = 4 * BLOCK;
  readonly statistics = {} as NativeContext["statistics"];
  private readonly sequences = new Map<number, number[]>();
  private running: Running | undefined;
  private lastOutputs: Float32Array[] = [];
  private nextSequence = 1;
  private readonly whenRunning: (() => void)[] = [];

  constructor(
    readonly totalBlocks = 64,
    readonly vocabularySize = 40,
    readonly maxBatchTokens = 64,
    readonly maxSequenceLength = 1024,
  ) {}

  get freeBlocks(): number {
    // Full blocks that begin sequences in the same way are counted once, as if all had been forked.
    const full = new Set<string>();
    let used = 0;
    for (const tokens of this.sequences.values()) {
      if (tokens.length % BLOCK > 0) used++;
      for (let end = BLOCK; end <= tokens.length; end += BLOCK) full.add(tokens.slice(0, end).join());
    }
    return this.totalBlocks - used - full.size;
  }

  get sequenceCount(): number {
    return this.sequences.size;
  }

  createSequence(): number {
    this.sequences.set(this.nextSequence, []);
    return this.nextSequence++;
  }

  forkSequence(sequence: number, length: number): number {
    const copy = this.createSequence();
    this.sequences.set(copy, this.tokensOf(sequence).slice(0, length));
    return copy;
  }

  truncateSequence(sequence: number, length: number): void {
    if (this.running?.batch.sequences.includes(sequence)) throw nativeError("ERR_INVALID_ARGUMENT");
    const tokens = this.tokensOf(sequence);
    if (length > tokens.length) throw nativeError("ERR_INVALID_ARGUMENT");
    tokens.length = length;
  }

  /** A block's "keys and values" are its tokens. */
  readBlock(sequence: number, index: number): Uint8Array {
    const tokens = this.tokensOf(sequence).slice(index * BLOCK, (index + 1) * BLOCK);
    if (tokens.length < BLOCK) throw nativeError("ERR_INVALID_ARGUMENT");
    return new Uint8Array(Int32Array.from(tokens).buffer);
  }

  appendBlock(sequence: number, bytes: Uint8Array): void {
    const tokens = this.tokensOf(sequence);
    if (tokens.length % BLOCK > 0 || bytes.length !== this.blockBytes) throw nativeError("ERR_INVALID_ARGUMENT");
    if (this.freeBlocks === 0) throw nativeError("ERR_KV_FULL");
    tokens.push(...new Int32Array(bytes.slice().buffer));
  }

  releaseSequence(sequence: number): void {
    this.tokensOf(sequence);
    this.sequences.delete(sequence);
  }

  sequenceLength(sequence: number): number {
    return this.tokensOf(sequence).length;
  }

  forward(batch: ForwardBatch): Promise<ForwardResult> {
    if (this.closed) throw nativeError("ERR_CLOSED");
    if (this.running) throw new Error("the scheduler submitted a second forward while one ran");
    this.check(batch);
    if (this.blocksNeeded(batch) > this.freeBlocks) throw nativeError("ERR_KV_FULL");
    this.batches.push(batch);
    return new Promise((resolve, reject) => {
      this.running = { batch, resolve, reject };
      for (const notify of this.whenRunning.splice(0)) notify();
      if (!this.held) setImmediate(() => this.finish());
    });
  }

  cancel(): void {
    this.cancels++;
    const { running } = this;
    this.running = undefined;
    if (running) setImmediate(() => running.reject(nativeError("ERR_ABORTED")));
  }

  lastLogits(index: number): Float32Array {
    if (this.running) throw new Error("lastLogits after the next forward was submitted");
    const logits = this.lastOutputs[index];
    if (!logits) throw nativeError("ERR_INVALID_ARGUMENT");
    return logits.slice();
  }

  close(): void {
    this.closed = true;
  }

  /** Resolves when a forward runs. */
  forwardRunning(): Promise<void> {
    if (this.running) return Promise.resolve();
    return new Promise((resolve) => this.whenRunning.push(resolve));
  }

  /** Ends the forward that runs. */
  finish(): void {
    const { running } = this;
    if (!running) return;
    this.running = undefined;
    const failure = this.failures.shift();
    if (failure === undefined) running.resolve(this.compute(running.batch));
    else running.reject(nativeError(failure));
  }

  private check(batch: ForwardBatch): void {
    const { tokens, sequences, want } = batch;
    expect(tokens.length).toBeGreaterThan(0);
    expect(tokens.length).toBeLessThanOrEqual(this.maxBatchTokens);
    expect([sequences.length, want.length]).toEqual([tokens.length, tokens.length]);
    const seen = new Set<number>();
    for (const [i, sequence] of sequences.entries()) {
      this.tokensOf(sequence);
      if (i > 0 && sequences[i - 1] === sequence) continue;
      expect(seen.has(sequence)).toBe(false); // A sequence's tokens are contiguous.
      seen.add(sequence);
    }
    for (const id of tokens) expect(id >= 0 && id < this.vocabularySize).toBe(true);
    expect(batch.temperatures?.length ?? 0).toBe(want.filter((each) => each === 1).length);
  }

  private blocksNeeded({ sequences }: ForwardBatch): number {
    const added = new Map<number, number>();
    for (const sequence of sequences) added.set(sequence, (added.get(sequence) ?? 0) + 1);
    let needed = 0;
    for (const [sequence, count] of added) {
      const { length } = this.tokensOf(sequence);
      needed += Math.ceil((length + count) / BLOCK) - Math.ceil(length / BLOCK);
    }
    return needed;
  }

  private compute(batch: ForwardBatch): ForwardResult {
    const { vocabularySize } = this;
    const k = Math.min(batch.candidates, vocabularySize);
    const candidateIds: number[] = [];
    const candidateLogits: number[] = [];
    const logSumExp: number[] = [];
    const extraLogits: number[] = [];
    const full: number[] = [];
    this.lastOutputs = [];
    for (const [i, token] of batch.tokens.entries()) {
      // A sequence released meanwhile is computed all the same; nobody sees it.
      const tokens = this.sequences.get(batch.sequences[i]!) ?? [];
      tokens.push(token);
      const want = batch.want[i];
      if (want === 0) continue;
      const logits = toyLogits(tokens, vocabularySize);
      this.lastOutputs.push(logits);
      if (want === 2) full.push(...logits);
      if (want !== 1) continue;
      const row = logSumExp.length;
      const ids = ranked(logits).slice(0, k);
      candidateIds.push(...ids);
      candidateLogits.push(...ids.map((id) => logits[id]!));
      const temperature = batch.temperatures?.[row] ?? 1;
      logSumExp.push(Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0)));
      const [start, end] = [batch.extraOffsets?.[row] ?? 0, batch.extraOffsets?.[row + 1] ?? 0];
      for (const id of batch.extraIds?.subarray(start, end) ?? []) extraLogits.push(logits[id]!);
    }
    return {
      candidateIds: Int32Array.from(candidateIds),
      candidateLogits: Float32Array.from(candidateLogits),
      logSumExp: batch.logSumExp === false ? new Float32Array(0) : Float32Array.from(logSumExp),
      extraLogits: Float32Array.from(extraLogits),
      logits: Float32Array.from(full),
      hidden: new Float32Array(0),
      microseconds: 1,
    };
  }

  /** The tokens of a sequence; to be changed by tests only. */
  tokensOf(sequence: number): number[] {
    const tokens = this.sequences.get(sequence);
    if (!tokens) throw nativeError("ERR_INVALID_ARGUMENT");
    return tokens;
  }
}
