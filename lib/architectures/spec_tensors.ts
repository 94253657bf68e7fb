import type { ModelSpec, TensorRef } from "../../types/addon";

/** Every tensor of a model. */
export function* specTensors(spec: ModelSpec): Generator<TensorRef> {
  yield spec.tokenEmbedding;
  yield spec.outputNorm;
  if (spec.output) yield spec.output;
  for (const layer of spec.layers) {
    for (const tensor of Object.values(layer) as (TensorRef | boolean | undefined)[]) {
      if (typeof tensor === "object") yield tensor;
    }
  }
}

/** The matrices of the linear layers, which are packed for the kernel. */
export function linearTensors(spec: ModelSpec): TensorRef[] {
  return spec.layers.flatMap(({ q, k, v, attnOutput, gate, up, down }) => [q, k, v, attnOutput, gate, up, down]);
}
