import { spawnSync } from "node:child_process";
import { release, totalmem } from "node:os";
import { join } from "node:path";

const CLI = join(__dirname, "..", "..", "dist", "cli", "main.js");

function run(args: string[], env: NodeJS.ProcessEnv = {}): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
}

describe("node-bitnet doctor", () => {
  test("finds this installation sound, and its kernel equal to scalar", () => {
    const { status, stdout } = run(["doctor", "--quick", "--json"], { BITNET_KERNEL: "auto", HF_TOKEN: "secret" });
    const report = JSON.parse(stdout) as { ok: boolean; selfTest: { sameBitsAsScalar: boolean }; kernels: string[] };
    expect(status).toBe(0);
    expect(report.ok).toBe(true);
    expect(report.selfTest.sameBitsAsScalar).toBe(true);
    expect(report.kernels).toContain("scalar-i2s");
    expect(report).toMatchObject({ environment: { BITNET_KERNEL: "auto" } });
    expect(stdout).not.toContain("secret");
    // All that a report in an issue must tell.
    expect(report).toMatchObject({
      versions: {
        node: `Node ${process.versions.node}`,
        os: expect.stringContaining(release()) as string,
        binary: expect.stringMatching(/\.node$/) as string,
        libraries: { "@huggingface/tokenizers": expect.stringMatching(/^\d+\./) as string },
      },
      cpu: { usableCpus: expect.any(Number) as number, features: expect.any(Array) as string[] },
      tunedKernels: expect.any(Array) as object[],
      memory: { totalBytes: totalmem(), freeBytes: expect.any(Number) as number },
      cacheFolder: expect.any(String) as string,
      tunerFolder: expect.any(String) as string,
    });
  });

  test("says what is wrong and ends with 1 where the binary does not load", () => {
    // A folder without binaries, in which the loader is told to look.
    const { status, stdout } = run(["doctor", "--quick"], { NODE_BITNET_PREBUILD: __dirname });
    expect(status).toBe(1);
    expect(stdout).toContain("PROBLEM: The native part of node-bitnet could not be loaded");
    expect(stdout).toContain("npx node-bitnet build");
  });
});

describe("node-bitnet build", () => {
  test("lists the tools that are missing, with how to get them, and ends with 1", () => {
    const { status, stdout, stderr } = run(["build", "--check-only"], { PATH: __dirname, CXX: "" });
    if (process.platform === "win32") return;
    expect(status).toBe(1);
    expect(stdout).toMatch(/CMake 3\.20 or newer: missing\. \S/);
    expect(stdout).toMatch(/C\+\+17 compiler: missing\. \S/);
    expect(stderr).toContain("Cannot build");
  });
});
