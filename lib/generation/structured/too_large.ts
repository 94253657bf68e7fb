import { InvalidOptionError } from "../../errors";

/** The error for a form that would need too much memory or time. */
export function tooLarge(): InvalidOptionError {
  return new InvalidOptionError("The form of the text has too many states; make the schema or expression simpler.");
}
