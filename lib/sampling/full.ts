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

/** exp((logit - top) / temperature) of every token, and their sum in the order of the ids. */
export function weigh(logits: Float32Array, top: number, temperature: number): { weights: Float64Array; mass: number } {
  const weights = new Float64Array(logits.length);
  let mass = 0;
  for (let id = 0; id < logits.length; id++) {
    mass += weights[id] = Math.exp((logits[id]! - top) / temperature);
  }
  return { weights, mass };
}

/** log(sum(exp(logits))): what is taken from a logit to make it a log-probability. */
export function logSumExp(logits: Float32Array): number {
  const top = greatest(logits);
  return top + Math.log(weigh(logits, top, 1).mass);
}

/** log(softmax(logits)) of every token. */
export function logSoftmax(logits: Float32Array): Float32Array {
  const shift = logSumExp(logits);
  return logits.map((logit) => logit - shift);
}
