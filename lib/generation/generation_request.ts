import type { Engine, Output, Query, Request, Sequence } from "../engine";
import { SamplerChain } from "../sampling";
import type { Detokenizer } from "../tokenizer";
import type { ResolvedGenerationOptions } from "./options";
import { StopStrings } from "./stop_strings";
import type { Chunk, FinishReason, Timings, Usage } from "./types";

/** Where a generation's chunks go. */
export interface ChunkSink {
  /** False while the reader is behind. */
  readonly hasRoom: boolean;
  /** A chunk; the last one has `finishReason`. */
  chunk(chunk: Chunk): void;
  fail(error: Error): void;
}

/** One text in the making: samples tokens from the engine's outputs and turns them into chunks. */
export class GenerationRequest implements Request {
  /** The logits behind the prompt's last token are the first that count. */
  readonly firstOutput: number;
  private readonly chain: SamplerChain;
  private readonly detokenizer: Detokenizer;
  private readonly stops: StopStrings;
  private readonly ends: ReadonlySet<number>;
  /** Tokens that no chunk has carried yet. */
  private unsent: number[] = [];
  private completionTokens = 0;
  private cachedTokens = 0;
  private begunAt = 0;
  private firstTokenAt = 0;

  /**
   * @param startedAt `performance.now()` when the user asked
   * @throws InvalidOptionError for a logit bias on an id that the vocabulary lacks
   */
  constructor(
    private readonly engine: Engine,
    readonly sequence: Sequence,
    readonly prompt: ArrayLike<number>,
    private readonly options: ResolvedGenerationOptions,
    private readonly sink: ChunkSink,
    private readonly startedAt: number,
  ) {
    const { tokenizer, info } = engine;
    const promptIds = Array.from(prompt);
    this.firstOutput = prompt.length - 1;
    this.chain = new SamplerChain(options.sampling, info.vocabularySize);
    this.chain.acceptPrompt(promptIds);
    this.detokenizer = tokenizer.createDetokenizer({ continuation: promptIds.some((id) => !tokenizer.isSpecial(id)) });
    this.stops = new StopStrings(options.stop);
    this.ends = new Set([...options.stopTokens, ...(options.ignoreEos ? [] : tokenizer.eosIds)]);
  }

  get ready(): boolean {
    return this.sink.hasRoom;
  }

  begin(cachedTokens: number): void {
    this.cachedTokens = cachedTokens;
    this.begunAt = performance.now();
  }

  query(): Query {
    const { candidates, logSumExp, temperature, extraIds } = this.chain.requirements();
    return { want: 1, candidates, logSumExp, temperature, extraIds };
  }

  receive(output: Output): boolean {
    const token = this.sample(output);
    if (this.completionTokens++ === 0) this.firstTokenAt = performance.now();
    if (this.ends.has(token)) return this.finish("stop");
    this.chain.accept(token);
    this.unsent.push(token);
    const { text, found } = this.stops.push(this.detokenizer.push(token));
    if (found !== undefined) return this.finish("stop_string", text);
    if (this.completionTokens >= this.options.maxTokens) return this.finish("length", text);
    const length = this.prompt.length + this.completionTokens;
    if (length >= this.engine.info.contextLength) return this.finish("context", text);
    this.sequence.tokens.push(token);
    if (text !== "") this.send(text);
    return true;
  }

  fail(error: Error): void {
    this.sink.fail(error);
  }

  private sample(output: Output): number {
    const { candidateIds, candidateLogits, logSumExp, extraLogits } = output;
    const sampled = this.chain.sample({ ids: candidateIds, logits: candidateLogits, logSumExp, extraLogits });
    return "needAll" in sampled ? this.chain.sampleAll(output.allLogits()).token : sampled.token;
  }

  private send(text: string, end: Omit<Chunk, "text" | "tokens"> = {}): void {
    const tokens = this.unsent;
    this.unsent = [];
    this.sink.chunk({ text, tokens, ...end });
  }

  /** Sends the last chunk, with what was held back unless a stop string ended the text. */
  private finish(finishReason: FinishReason, text = ""): false {
    let reason = finishReason;
    let rest = text;
    if (reason !== "stop_string") {
      // Bytes of an unfinished character become text only now, and may complete a stop string.
      const { text: last, found } = this.stops.push(this.detokenizer.flush());
      rest += last;
      if (found === undefined) rest += this.stops.flush();
      else reason = "stop_string";
    }
    this.send(rest, { finishReason: reason, usage: this.usage(), timings: this.timings() });
    return false;
  }

  private usage(): Usage {
    const { completionTokens, cachedTokens } = this;
    const promptTokens = this.prompt.length;
    return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, cachedTokens };
  }

  private timings(): Timings {
    const now = performance.now();
    return {
      promptTokensPerSecond: rate(this.prompt.length - this.cachedTokens, this.firstTokenAt - this.begunAt),
      decodeTokensPerSecond: rate(this.completionTokens - 1, now - this.firstTokenAt),
      timeToFirstTokenMs: this.firstTokenAt - this.startedAt,
      totalMs: now - this.startedAt,
    };
  }
}

/** Tokens per second; 0 where nothing was measured. */
function rate(tokens: number, milliseconds: number): number {
  return tokens > 0 && milliseconds > 0 ? (tokens * 1000) / milliseconds : 0;
}
