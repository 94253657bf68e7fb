import type { Engine, Guess, Output, Query, Request, Sequence } from "../engine";
import { SamplerChain, type Requirements, type Sampled } from "../sampling";
import type { Detokenizer } from "../tokenizer";
import { tokenLogprobs } from "./logprobs";
import type { ResolvedGenerationOptions } from "./options";
import { slide } from "./sliding";
import { PromptLookup } from "./prompt_lookup";
import { compileForm, Constraint, TriggerSearch, type CompiledForm, type Form } from "./structured";
import { StopStrings } from "./stop_strings";
import type { Chunk, FinishReason, Timings, TokenLogprobs, Usage } from "./types";

/** Where a generation's chunks go. */
export interface ChunkSink {
  /** False while the reader is behind. */
  readonly hasRoom: boolean;
  /** A chunk; the last one has `finishReason`. */
  chunk(chunk: Chunk): void;
  fail(error: Error): void;
}

/** How a text began. */
export interface Beginning {
  /** `performance.now()` when the user asked. */
  startedAt: number;
  /** Tokens at the start that stay when the context slides. */
  keptTokens: number;
  /** Tokens that were left out of the prompt. */
  droppedTokens: number;
}

/** One text in the making: samples tokens from the engine's outputs and turns them into chunks. */
export class GenerationRequest implements Request {
  /** The logits behind the prompt's last token are the first that count. */
  readonly firstOutput: number;
  private readonly chain: SamplerChain;
  private readonly detokenizer: Detokenizer;
  private readonly stops: StopStrings;
  private readonly ends: ReadonlySet<number>;
  /** The same, for `ahead`. */
  private endIds: Int32Array | undefined;
  /** Tokens that no chunk has carried yet. */
  private unsent: number[] = [];
  private unsentLogprobs: TokenLogprobs[] = [];
  private constraint: Constraint | undefined;
  private readonly triggers: TriggerSearch | undefined;
  private readonly controls: Form["controls"];
  private readonly lookup: PromptLookup | undefined;
  /** Mostly the next one is the same. */
  private lastQuery: { requirements: Requirements; query: Query } | undefined;
  private completionTokens = 0;
  private cachedTokens = 0;
  private begunAt = 0;
  private firstTokenAt = 0;
  private droppedTokens: number;
  private slid: readonly number[] | undefined;

  /**
   * @param compiled what `compileFormOf` gave for the options
   * @throws InvalidOptionError for a logit bias on an id that the vocabulary lacks
   */
  constructor(
    private readonly engine: Engine,
    readonly sequence: Sequence,
    readonly prompt: ArrayLike<number>,
    private readonly options: ResolvedGenerationOptions,
    private readonly sink: ChunkSink,
    private readonly beginning: Beginning,
    private readonly compiled: CompiledForm | undefined,
  ) {
    this.droppedTokens = beginning.droppedTokens;
    const { tokenizer, info } = engine;
    const promptIds = Array.from(prompt);
    this.firstOutput = prompt.length - 1;
    this.chain = new SamplerChain(options.sampling, info.vocabularySize);
    this.chain.acceptPrompt(promptIds);
    if (options.speculation === "prompt-lookup") {
      this.lookup = new PromptLookup();
      for (const id of promptIds) this.lookup.push(id);
    }
    this.detokenizer = tokenizer.createDetokenizer({ continuation: promptIds.some((id) => !tokenizer.isSpecial(id)) });
    this.stops = new StopStrings(options.stop);
    this.ends = endsOf(engine, options);
    const { form, lateForm } = options;
    this.controls = compiled?.form.controls;
    if (compiled && form) {
      this.constraint = new Constraint(compiled);
      this.chain.allowOnly(this.constraint.mask());
    } else if (lateForm) this.triggers = new TriggerSearch(lateForm.triggers);
  }

  get ready(): boolean {
    return this.sink.hasRoom;
  }

  get priority(): number {
    return this.options.priority;
  }

  begin(cachedTokens: number): void {
    this.cachedTokens = cachedTokens;
    this.begunAt = performance.now();
  }

  query(): Query {
    const requirements = this.chain.requirements();
    if (this.lastQuery?.requirements !== requirements)
      this.lastQuery = { requirements, query: this.queryFor(requirements) };
    return this.lastQuery.query;
  }

  private queryFor({ candidates, logSumExp, temperature, extraIds, mask, ...needs }: Requirements): Query {
    const { logprobs } = this.options;
    if (needs.needsAllLogits || (needs.expectsAllLogits && logprobs === undefined)) {
      return { want: 2, candidates: 1, temperature: 1 };
    }
    if (logprobs === undefined) {
      return { want: 1, candidates, logSumExp, temperature, extraIds, ...(mask ? { mask } : {}) };
    }
    // The likeliest of all tokens are wanted, and of those that the form allows enough.
    const spare = mask ? 256 : 0;
    const most = Math.min(Math.max(candidates + spare, logprobs), this.engine.info.vocabularySize);
    return { want: 1, candidates: most, logSumExp: true, temperature: logSumExp ? temperature : 1, extraIds };
  }

  drafts(most: number, cost: (drafts: number) => number): readonly number[] {
    if (!this.lookup || this.chain.dependsOnHistory || this.triggers) return [];
    // As many as may still come: of the last token nothing is to be guessed any more.
    const { contextLength } = this.engine.info;
    const left = Math.min(this.options.maxTokens - this.completionTokens, contextLength - this.sequence.tokens.length);
    return this.lookup.drafts(Math.min(most, left - 1), cost);
  }

  ahead(): Guess | undefined {
    const { options, sequence } = this;
    // What was begun would be in vain where several tokens are then computed at a time.
    if (this.lookup?.pausing === false || this.compiled || options.logprobs !== undefined) return undefined;
    const last = this.completionTokens + 1 >= options.maxTokens;
    // Where the context is full the text ends, or goes on with other tokens.
    if (last || sequence.tokens.length + 1 >= this.engine.info.contextLength) return undefined;
    const samplers = this.chain.guess();
    if (!samplers) return undefined;
    this.endIds ??= Int32Array.from(this.ends).sort();
    return { samplers, ends: this.endIds };
  }

  drafted(accepted: number, drafts: number): void {
    this.lookup?.judge(accepted, drafts);
  }

  receive(output: Output): boolean {
    const sampled = this.sample(output);
    const { token } = sampled;
    if (this.completionTokens++ === 0) this.firstTokenAt = performance.now();
    if (this.ends.has(token)) return this.finish("stop");
    const { logprobs } = this.options;
    if (logprobs !== undefined) {
      this.unsentLogprobs.push(tokenLogprobs(sampled, output, this.chain.requirements(), logprobs));
    }
    this.chain.accept(token);
    this.lookup?.push(token);
    this.unsent.push(token);
    const { text, found } = this.stops.push(this.textOf(token));
    if (found !== undefined) return this.finish("stop_string", text);
    if (this.constraint) this.constraint.accept(token);
    else this.lookForTrigger(token);
    if (this.constraint) {
      if (this.constraint.complete) return this.finish("stop", text);
      this.chain.allowOnly(this.constraint.mask());
    }
    if (this.completionTokens >= this.options.maxTokens) return this.finish("length", text);
    const { tokens } = this.sequence;
    const full = tokens.length + 1 >= this.engine.info.contextLength;
    if (full && this.options.overflow !== "slide") return this.finish("context", text);
    tokens.push(token);
    if (full) this.forgetOlder();
    if (text !== "") this.send(text);
    return true;
  }

  replaced(): readonly number[] | undefined {
    const { slid } = this;
    this.slid = undefined;
    return slid;
  }

  private forgetOlder(): void {
    const { tokens } = this.sequence;
    const slid = slide(tokens, this.beginning.keptTokens, this.engine.info.contextLength);
    this.droppedTokens += tokens.length - slid.length;
    this.slid = slid;
  }

  private textOf(token: number): string {
    const control = this.controls?.get(token);
    return control === undefined ? this.detokenizer.push(token) : this.detokenizer.flush() + control;
  }

  /** Begins to hold the text to its form when a trigger came. */
  private lookForTrigger(token: number): void {
    if (!this.compiled || !this.triggers) return;
    const control = this.controls?.get(token);
    // Bytes as characters: a token may end within one.
    const bytes = control === undefined ? this.engine.tokenizer.tokenBytes(token) : Buffer.from(control);
    const { found } = this.triggers.push(Buffer.from(bytes).toString("latin1"));
    if (found === undefined) return;
    const constraint = new Constraint(this.compiled);
    // What the token has behind the trigger may be something else: then it was no beginning.
    if (constraint.catchUp(Buffer.from(found, "latin1"))) this.constraint = constraint;
  }

  fail(error: Error): void {
    this.sink.fail(error);
  }

  private sample(output: Output): Sampled {
    const { candidateIds, candidateLogits, logSumExp, extraLogits } = output;
    // Without candidates all logits were asked for.
    if (candidateIds.length === 0) return this.chain.sampleAll(output.allLogits());
    const sampled = this.chain.sample({ ids: candidateIds, logits: candidateLogits, logSumExp, extraLogits });
    return "needAll" in sampled ? this.chain.sampleAll(output.allLogits()) : sampled;
  }

  private send(text: string, end: Omit<Chunk, "text" | "tokens" | "logprobs"> = {}): void {
    const tokens = this.unsent;
    const logprobs = this.unsentLogprobs;
    this.unsent = [];
    this.unsentLogprobs = [];
    this.sink.chunk({ text, tokens, ...(this.options.logprobs === undefined ? {} : { logprobs }), ...end });
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
    const { droppedTokens } = this;
    const counted = { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, cachedTokens };
    return droppedTokens > 0 ? { ...counted, droppedTokens } : counted;
  }

  private timings(): Timings {
    const now = performance.now();
    return {
      promptTokensPerSecond: rate(this.prompt.length - this.cachedTokens, this.firstTokenAt - this.begunAt),
      decodeTokensPerSecond: rate(this.completionTokens - 1, now - this.firstTokenAt),
      timeToFirstTokenMs: this.firstTokenAt - this.beginning.startedAt,
      totalMs: now - this.beginning.startedAt,
      draftTokens: this.lookup?.draftTokens ?? 0,
      acceptedDrafts: this.lookup?.acceptedDrafts ?? 0,
    };
  }
}

/** Tokens that end a text. */
function endsOf({ tokenizer }: Engine, { stopTokens, ignoreEos }: ResolvedGenerationOptions): Set<number> {
  return new Set([...stopTokens, ...(ignoreEos ? [] : tokenizer.eosIds)]);
}

/**
 * Compiles the form that a text is or may come to be held to: what cannot be compiled is refused before the text begins.
 * @throws InvalidOptionError
 */
export async function compileFormOf(
  engine: Engine,
  options: ResolvedGenerationOptions,
): Promise<CompiledForm | undefined> {
  const form = options.form ?? options.lateForm?.form;
  return form && compileForm(engine, form, endsOf(engine, options));
}

/** Tokens per second; 0 where nothing was measured. */
function rate(tokens: number, milliseconds: number): number {
  return tokens > 0 && milliseconds > 0 ? (tokens * 1000) / milliseconds : 0;
}
