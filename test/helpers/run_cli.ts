import { spawn } from "node:child_process";
import { join } from "node:path";

// The built program, as users run it; `npm test` builds it first.
const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");

/** What a program has done. */
export interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

/** How it is run. */
export interface RunOptions {
  input?: string;
  env?: Record<string, string>;
  /** Sent as soon as something is printed. */
  signal?: NodeJS.Signals;
  /** Closes the reading end of standard output after the first piece. */
  closeOutput?: boolean;
}

/** Runs `node-bitnet` with arguments to its end. */
export function run(args: string[], { input, env, signal, closeOutput }: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });
    const outcome: Outcome = { code: null, out: "", err: "" };
    child.stdout.on("data", (piece: Buffer) => {
      outcome.out += piece.toString();
      if (signal) child.kill(signal);
      if (closeOutput) child.stdout.destroy();
    });
    child.stderr.on("data", (piece: Buffer) => (outcome.err += piece.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...outcome, code }));
    child.stdin.end(input ?? "");
  });
}
