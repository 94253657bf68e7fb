import { InvalidOptionError } from "../../errors";

/** Steps that compiling a form may take: about a second. Schemas and expressions are those of clients. */
const MOST_STEPS = 1_000_000;

/** What is left to the form that is being compiled; what is done for texts has bounds of its own. */
let left = Infinity;

/** Compiles a form with limited effort. @throws InvalidOptionError where it does not suffice, or where the form is too deep */
export function withLimitedEffort<T>(compile: () => T): T {
  if (left !== Infinity) return compile();
  left = MOST_STEPS;
  try {
    return compile();
  } catch (error) {
    // The stack is at its end.
    if (error instanceof RangeError)
      throw new InvalidOptionError("The form of the text is too deep.", { cause: error });
    throw error;
  } finally {
    left = Infinity;
  }
}

/** Counts steps. @throws InvalidOptionError when there were too many */
export function spend(steps: number): void {
  left -= steps;
  if (left < 0) throw tooLarge();
}

/** The error for a form that would need too much memory or time. */
export function tooLarge(): InvalidOptionError {
  return new InvalidOptionError("The form of the text has too many states; make the schema or expression simpler.");
}
