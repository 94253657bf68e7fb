import type { Usage } from "../generation";
import type { Backend, BackendChunk, BackendOptions, EncodedChat, TokenLogprobs, ToolCall } from "./backend";
import type { Metrics } from "./metrics";

/** A piece of one of several texts. */
export interface TextEvent {
  /** Which text: the prompt's number times `n`, plus the number of the choice. */
  index: number;
  chunk: BackendChunk;
}

/** What is to be generated. */
export interface TextsRequest {
  /** Name of the model, for metrics. */
  model: string;
  backend: Backend;
  prompts: readonly EncodedChat[];
  /** Texts for each prompt. */
  n: number;
  options: BackendOptions;
  signal: AbortSignal;
}

/** Generates all texts of a request at the same time; their pieces come as they are made. */
export async function* generateTexts(request: TextsRequest, metrics: Metrics): AsyncGenerator<TextEvent, undefined> {
  const { prompts, n } = request;
  const texts = prompts.flatMap((prompt) =>
    Array.from({ length: n }, (_, choice) => observed(request, prompt, choice, metrics)),
  );
  const pending = new Map(texts.map((text, index) => [index, nextOf(text, index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const text = texts[index];
      if (result.done || !text) {
        pending.delete(index);
        continue;
      }
      pending.set(index, nextOf(text, index));
      yield { index, chunk: result.value };
    }
  } finally {
    for (const promise of pending.values()) promise.catch(() => undefined);
    for (const text of texts) void text.return(undefined).catch(() => undefined);
  }
}

async function nextOf(
  text: AsyncGenerator<BackendChunk, undefined>,
  index: number,
): Promise<{ index: number; result: IteratorResult<BackendChunk, undefined> }> {
  return { index, result: await text.next() };
}

async function* observed(
  { model, backend, options, signal }: TextsRequest,
  prompt: EncodedChat,
  choice: number,
  metrics: Metrics,
): AsyncGenerator<BackendChunk, undefined> {
  const { seed, maxTokens } = options;
  if (maxTokens === 0) {
    const promptTokens = prompt.tokens.length;
    const usage = { promptTokens, completionTokens: 0, totalTokens: promptTokens, cachedTokens: 0 };
    if (choice === 0) metrics.prompt(model, usage);
    yield { text: "", tokens: [], finishReason: "length", usage };
    return;
  }
  const stop = [...listOf(options.stop), ...prompt.stop];
  const stopTokens = [...(options.stopTokens ?? []), ...prompt.stopTokens];
  const stream = backend.stream(prompt.tokens, {
    ...options,
    // Choices differ, and each can be had again by its own seed.
    ...(seed === undefined ? {} : { seed: (seed + choice) % Number.MAX_SAFE_INTEGER }),
    stop,
    stopTokens,
    signal,
  });
  let last = performance.now();
  let counted = 0;
  for await (const chunk of stream) {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    if (counted === 0) metrics.first(model, seconds);
    else metrics.next(model, chunk.tokens.length, seconds);
    const tokens = (chunk.usage?.completionTokens ?? counted + chunk.tokens.length) - counted;
    counted += tokens;
    metrics.generated(model, tokens);
    // Choices share their prompt.
    if (chunk.usage && choice === 0) metrics.prompt(model, chunk.usage);
    yield chunk;
  }
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

/** A whole text. */
export interface WholeText {
  text: string;
  tokens: number[];
  logprobs: TokenLogprobs[];
  toolCalls: ToolCall[];
  finishReason: BackendChunk["finishReason"];
  usage: Usage | undefined;
}

/** Reads all texts to their ends. */
export async function collectTexts(events: AsyncIterable<TextEvent>, count: number): Promise<WholeText[]> {
  const texts = Array.from({ length: count }, emptyText);
  for await (const { index, chunk } of events) {
    const text = texts[index];
    if (text) addChunk(text, chunk);
  }
  return texts;
}

/** A text of which nothing came yet. */
export function emptyText(): WholeText {
  return { text: "", tokens: [], logprobs: [], toolCalls: [], finishReason: undefined, usage: undefined };
}

/** Adds a piece to a text. */
export function addChunk(whole: WholeText, chunk: BackendChunk): void {
  whole.text += chunk.text;
  for (const token of chunk.tokens) whole.tokens.push(token);
  for (const each of chunk.logprobs ?? []) whole.logprobs.push(each);
  for (const { index, id, name, arguments: text } of chunk.toolCalls ?? []) {
    const call = (whole.toolCalls[index] ??= { id: id ?? "", name: name ?? "", arguments: "" });
    call.arguments += text;
  }
  if (chunk.finishReason) whole.finishReason = chunk.finishReason;
  if (chunk.usage) whole.usage = chunk.usage;
}

/** Tokens of a request: each prompt counts once, every text counts. */
export function totalUsage(usages: readonly (Usage | undefined)[], n: number): Usage {
  const total: Usage = { promptTokens: 0, completionTokens: 0, totalTokens: 0, cachedTokens: 0 };
  for (const [index, usage] of usages.entries()) {
    if (!usage) continue;
    total.completionTokens += usage.completionTokens;
    if (index % n !== 0) continue;
    total.promptTokens += usage.promptTokens;
    total.cachedTokens += usage.cachedTokens;
  }
  total.totalTokens = total.promptTokens + total.completionTokens;
  return total;
}
