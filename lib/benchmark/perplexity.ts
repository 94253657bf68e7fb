import type { Model } from "../model";
import { InvalidOptionError } from "../errors";

/** How well a model predicts a text. */
export interface PerplexityResult {
  /** exp(nll) */
  perplexity: number;
  /** Negative log-likelihood per token, natural logarithm, averaged over the scored tokens. */
  nll: number;
  /** Standard error of the perplexity, from the spread of the tokens' likelihoods as if they were independent. */
  standardError: number;
  /** Tokens that were scored. */
  tokens: number;
}

/** How a text is measured. */
export interface PerplexityOptions {
  /** Positions of a window, the beginning-of-sequence token included, at least 2. Default: 512, or a shorter context. */
  window?: number;
  signal?: AbortSignal;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * Perplexity of a model on a text: the text is encoded as a whole without special tokens and cut into consecutive pieces
 * of window - 1 tokens; each piece is read alone behind the beginning-of-sequence token, and every token of it is
 * scored. Where the vocabulary has no such token, pieces are `window` tokens long and their first one is not scored.
 */
export async function measurePerplexity(
  model: Model,
  text: string,
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  const { contextLength } = model.info;
  const { window = Math.min(512, contextLength), signal, onProgress } = options;
  if (!Number.isInteger(window) || window < 2 || window > contextLength) {
    throw new InvalidOptionError(
      `perplexity: the window must be an integer from 2 to ${contextLength}, not ${window}.`,
    );
  }
  const { bosId } = model.tokenizer;
  const prefix = bosId === undefined ? [] : [bosId];
  const piece = window - prefix.length;
  const ids = await model.tokenizer.encode(text, { addSpecial: false });
  if (ids.length + prefix.length < 2) throw new InvalidOptionError("perplexity: the text has too few tokens.");
  let sum = 0;
  let squares = 0;
  let tokens = 0;
  for (let start = 0; start < ids.length; start += piece) {
    const scores = await model.score([...prefix, ...ids.subarray(start, start + piece)], signal ? { signal } : {});
    for (const score of scores) {
      sum -= score;
      squares += score * score;
    }
    tokens += scores.length;
    onProgress?.(Math.min(1, (start + piece) / ids.length));
  }
  const nll = sum / tokens;
  const variance = Math.max(0, squares / tokens - nll * nll);
  const perplexity = Math.exp(nll);
  return { perplexity, nll, standardError: perplexity * Math.sqrt(variance / tokens), tokens };
}
