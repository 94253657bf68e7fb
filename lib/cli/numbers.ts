import { InvalidArgumentError } from "commander";

/** An option's text as a number. The range is checked by whoever takes it. */
export function numberArgument(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

/** An option's text as a whole number of at least 1. */
export function countArgument(text: string): number {
  const value = numberArgument(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("It must be an integer of at least 1.");
  return value;
}

/** "1,2,4" as numbers. */
export function countsArgument(text: string): number[] {
  return text.split(",").map(countArgument);
}

/** Gathers an option that may be given several times. */
export function collectArgument(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
