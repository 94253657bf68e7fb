import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** A server in a process of its own. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<unknown[]>,
    /** Without a path. */
    readonly url: string,
  ) {}

  /** Starts a program that prints its address, and waits for that and for `/ready`, where it has one. */
  static async start(command: readonly string[]): Promise<ServerProcess> {
    const [program = "", ...args] = command;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const found = /https?:\/\/[\w.:]+/.exec(line)?.[0];
        if (found !== undefined) resolve(found);
      });
      exited.then(([code]) => reject(new Error(`The server ended with ${String(code)}`)), reject);
    });
    const server = new ServerProcess(child, exited, url);
    for (;;) {
      const { status } = await fetch(`${url}/ready`);
      if (status !== 503) return server;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Resident memory in MiB. Linux only. */
  get memory(): number {
    const status = readFileSync(`/proc/${this.child.pid ?? 0}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
  }

  /** A number of `/metrics`; undefined where the server has none. */
  async metric(name: string): Promise<number | undefined> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(name));
    return line === undefined ? undefined : Number(line.split(" ").at(-1));
  }

  /** Asks it to stop, and waits. Resolves to its exit code. */
  async terminate(): Promise<number | null> {
    this.child.kill("SIGTERM");
    const [code] = await this.exited;
    return code as number | null;
  }
}
