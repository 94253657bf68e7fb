#!/usr/bin/env node
import { CommanderError } from "commander";
import { AbortError, BitnetError, InvalidOptionError } from "../errors";
import { INTERRUPTED, wasInterrupted } from "./interrupt";
import { exitOnBrokenPipe } from "./output";
import { makeProgram } from "./program";

const FAILURE = 1;
const USAGE = 2;

async function main(): Promise<void> {
  exitOnBrokenPipe();
  try {
    await makeProgram().parseAsync();
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** Tells the user what went wrong and returns the exit code. */
function report(error: unknown): number {
  // Commander has printed its message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  if (wasInterrupted() && error instanceof AbortError) return INTERRUPTED;
  // Errors of the package explain themselves; the stack of any other is what a report of the defect needs.
  const known = error instanceof BitnetError;
  const text = known
    ? `error: ${error.message}`
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`${text}\n`);
  return error instanceof InvalidOptionError ? USAGE : FAILURE;
}

void main();
