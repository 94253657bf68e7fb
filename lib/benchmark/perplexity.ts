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
  /**
   * Tokens by which the window moves on, from 1 to the tokens it holds. Default: all of them, so that windows do not
   * overlap. Where they do, only the tokens that are new in a window are scored: each has at least as many tokens before it
   * as windows share (but in the first one), which takes more work and shows what the model makes of context.
   */
  stride?: number;
  signal?: AbortSignal;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * Perplexity of a model on a text: the text is encoded as a whole without special tokens and read in pieces of window - 1
 * tokens, each alone behind the beginning-of-sequence token; every token of the text is scored once. Where the vocabulary
 * has no such token, pieces are `window` tokens long and the first one of each, which nothing predicts, is not scored
 * unless it was scored in the piece before.
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
  const { stride = piece } = options;
  if (!Number.isInteger(stride) || stride < 1 || stride > piece) {
    throw new InvalidOptionError(`perplexity: the stride must be an integer from 1 to ${piece}, not ${stride}.`);
  }
  const ids = await model.tokenizer.encode(text, { addSpecial: false });
  if (ids.length + prefix.length < 2) throw new InvalidOptionError("perplexity: the text has too few tokens.");
  let sum = 0;
  let squares = 0;
  let tokens = 0;
  for (let start = 0, done = 0; done < ids.length; start += stride) {
    const end = Math.min(start + piece, ids.length);
    const scores = await model.score([...prefix, ...ids.subarray(start, end)], signal ? { signal } : {});
    // The last ones are those of the tokens that the window before did not have.
    const fresh = scores.subarray(Math.max(0, scores.length - (end - done)));
    for (const score of fresh) {
      sum -= score;
      squares += score * score;
    }
    tokens += fresh.length;
    done = end;
    onProgress?.(done / ids.length);
  }
  const nll = sum / tokens;
  const variance = Math.max(0, squares / tokens - nll * nll);
  const perplexity = Math.exp(nll);
  return { perplexity, nll, standardError: perplexity * Math.sqrt(variance / tokens), tokens };
}
