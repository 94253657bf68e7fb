import { InvalidOptionError } from "../errors";
import type { Model } from "../model";

/** How far two models' predictions lie apart on a text. */
export interface ComparisonResult {
  /** Mean over tokens of the Kullback-Leibler divergence of the second model from the first, in nats. */
  divergence: number;
  /** Standard error of `divergence`. */
  standardError: number;
  /** Share of positions at which both think the same token most likely, 0 to 1. */
  agreement: number;
  /** Positions that were compared. */
  tokens: number;
}

/** How two models are compared. */
export interface CompareOptions {
  /** Positions that are read at a time, at least 2. Default: 128, or a shorter context. All logits of one are held. */
  window?: number;
  signal?: AbortSignal;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * Compares the distributions of two models over each next token of a text, piece by piece as `measurePerplexity` does.
 * The text is encoded by the first model, whose distributions are the reference.
 * @throws InvalidOptionError where the vocabularies differ or the window does not fit
 */
export async function compareModels(
  reference: Model,
  other: Model,
  text: string,
  options: CompareOptions = {},
): Promise<ComparisonResult> {
  const vocabulary = reference.info.vocabularySize;
  if (other.info.vocabularySize !== vocabulary) {
    throw new InvalidOptionError(
      `The models have vocabularies of ${vocabulary} and ${other.info.vocabularySize} tokens; they cannot be compared.`,
    );
  }
  const most = Math.min(reference.info.contextLength, other.info.contextLength);
  const { window = Math.min(128, most), signal, onProgress } = options;
  if (!Number.isInteger(window) || window < 2 || window > most) {
    throw new InvalidOptionError(`The window must be an integer from 2 to ${most}, not ${window}.`);
  }
  const { bosId } = reference.tokenizer;
  const prefix = bosId === undefined ? [] : [bosId];
  const piece = window - prefix.length;
  const ids = await reference.tokenizer.encode(text, { addSpecial: false });
  if (ids.length === 0) throw new InvalidOptionError("The text has no tokens; there is nothing to compare.");
  const evaluation = signal ? { signal } : {};
  let [sum, squares, same, tokens] = [0, 0, 0, 0];
  for (let start = 0; start < ids.length; start += piece) {
    const part = [...prefix, ...ids.subarray(start, start + piece)];
    const [p, q] = await Promise.all([reference.evaluate(part, evaluation), other.evaluate(part, evaluation)]);
    for (let row = 0; row < part.length; row++) {
      const at = row * vocabulary;
      const { divergence, agree } = compareRows(p.subarray(at, at + vocabulary), q.subarray(at, at + vocabulary));
      sum += divergence;
      squares += divergence * divergence;
      same += agree ? 1 : 0;
    }
    tokens += part.length;
    onProgress?.(Math.min(1, (start + piece) / ids.length));
  }
  const mean = sum / tokens;
  const variance = Math.max(0, squares / tokens - mean * mean);
  return { divergence: mean, standardError: Math.sqrt(variance / tokens), agreement: same / tokens, tokens };
}

/** KL(p || q) = sum p (log p - log q) of the softmaxes of two rows of logits, never below 0. */
export function compareRows(p: Float32Array, q: Float32Array): { divergence: number; agree: boolean } {
  const [first, second] = [normaliser(p), normaliser(q)];
  let divergence = 0;
  for (let i = 0; i < p.length; i++) {
    const log = (p[i] ?? 0) - first.logSum;
    divergence += Math.exp(log) * (log - (q[i] ?? 0) + second.logSum);
  }
  // Rounding may leave a hair's breadth below 0.
  return { divergence: Math.max(0, divergence), agree: first.best === second.best };
}

/** log(sum(exp(logits))) and the index of the largest one. */
function normaliser(logits: Float32Array): { logSum: number; best: number } {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  const largest = logits[best] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return { logSum: largest + Math.log(sum), best };
}
