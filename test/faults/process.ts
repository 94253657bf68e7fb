/** Runs the fault tests' actions in processes of their own. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const CHILD = join(__dirname, "child.cjs");

/** Exit code of `child.cjs` after an error of the package. */
export const REFUSED = 3;

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
  errors: string;
}

export interface RunOptions {
  environment?: Record<string, string>;
  /** Limits for the shell's `ulimit`, such as "-n 30". */
  limit?: string;
  /** File of a control group's processes, which the process joins. */
  group?: string;
  /** Ends the process without warning after so many milliseconds. */
  killAfter?: number;
  node?: readonly string[];
}

/** Runs an action to its end, which may be a violent one. */
export function runChild(action: string, given: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const node = [process.execPath, ...(options.node ?? []), CHILD, action, ...given];
  const before = [
    ...(options.limit ? [`ulimit ${options.limit}`] : []),
    ...(options.group ? [`echo $$ > ${options.group}`] : []),
  ];
  const [command = "", ...rest] =
    before.length > 0 ? ["bash", "-c", [...before, 'exec "$@"'].join("; "), "bash", ...node] : node;
  return new Promise((resolve) => {
    const child = spawn(command, rest, {
      env: { ...process.env, ...options.environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (text: Buffer) => (output += text.toString()));
    child.stderr.on("data", (text: Buffer) => (errors += text.toString()));
    const timer =
      options.killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), options.killAfter);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, output: output.trim(), errors: errors.trim() });
    });
  });
}

/** A folder for the tests of one file. */
export function faultFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "node-bitnet-faults-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The library that lets system calls fail; compiled when first asked for. */
export function ioFaults(folder: string): string {
  const library = join(folder, "io_faults.so");
  const made = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(__dirname, "io_faults.c"), "-ldl"]);
  if (made.status !== 0) throw new Error(`io_faults.c cannot be compiled: ${String(made.stderr)}`);
  return library;
}

let injected = 0;

/** Counts faults for the sum that is printed at the end of a file. */
export function countFaults(count = 1): void {
  injected += count;
}

afterAll(() => {
  if (injected > 0) process.stdout.write(`${injected} faults injected\n`);
  injected = 0;
});
