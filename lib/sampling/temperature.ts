import type { Stage } from "./stage";

/**
 * Temperature (Ackley, Hinton and Sejnowski, "A Learning Algorithm for Boltzmann Machines", 1985): divides the logits by
 * `value` > 0; below 1 the likely become likelier, above 1 all become more alike.
 */
export function temperature(value: number): Stage {
  return {
    name: "temperature",
    needs: "nothing",
    closes: false,
    temperature: value,
    guess: [3, value],
    apply(pool) {
      pool.temperature *= value;
      return true;
    },
  };
}
