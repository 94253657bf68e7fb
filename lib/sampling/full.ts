import { KernelError } from "../errors";

/**
 * The greatest logit.
 *
 * @throws KernelError when one is not a number: the forward pass is broken, and any choice would hide it
 */
export function greatest(logits: Float32Array): number {
  let top = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > top) top = logit;
    else if (Number.isNaN(logit)) throw new KernelError(`The model's logit of token ${id} is not a number`);
  }
  return top;
}

/** The sum of exp((logit - top) / temperature), in the order of the ids. */
export function massOf(logits: Float32Array, top: number, temperature: number): number {
  let sum = 0;
  for (const logit of logits) sum += Math.exp((logit - top) / temperature);
  return sum;
}

/** log(sum(exp(logits))): what is taken from a logit to make it a log-probability. */
export function logSumExp(logits: Float32Array): number {
  const top = greatest(logits);
  return top + Math.log(massOf(logits, top, 1));
}

/** log(softmax(logits)) of every token. */
export function logSoftmax(logits: Float32Array): Float32Array {
  const shift = logSumExp(logits);
  return logits.map((logit) => logit - shift);
}
